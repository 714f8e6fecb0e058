# LOGIN, as no standard has it: two prompts; or the name along with the command.
ids: S02 S13
fill gen:1
greet
C: AUTH LOGIN
S+: Username:
C: \b{$U}
S+: Password:
C: \b{wrong}
S: -ERR [AUTH]*
C: AUTH LOGIN \b{$U}
S+: Password:
C: \b{$P}
S: +OK 1 message*
C: QUIT
S: +OK*
expect-eof
