# 12,288 octets in a line of an exchange, and in AUTH itself; longer ones get one -ERR, and their end is no command.
ids: S10 S11 G09
fill gen:1
password \{long*250}
greet
C: AUTH PLAIN
S+:
C: \b{\0$U\0\{x*4096}}
S: -ERR [AUTH]*
C: AUTH PLAIN
S+:
C: \{QUJD*3072}
S: -ERR*
C: AUTH PLAIN \{QUJD*4000}
S: -ERR*
C: CAPA
S: +OK*
S: *until-dot
C: AUTH PLAIN
S+:
C: \{QUJD*3071}
S: -ERR [AUTH]*
C: AUTH PLAIN \b{\0$U\0\{long*250}}
S: +OK 1 message*
C: QUIT
S: +OK*
expect-eof
