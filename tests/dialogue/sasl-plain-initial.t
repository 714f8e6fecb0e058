# In the command itself; and what follows in the same segment is the next command.
ids: S02 S13 S16
fill gen:2
greet
C: auth plain \b{$U\0$U\0$P}
S: +OK 2 messages*
C: STAT
S: +OK 2 *
C: QUIT
S: +OK*
expect-eof
