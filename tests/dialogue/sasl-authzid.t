# Nobody logs in as somebody else, and his own address in another spelling is not somebody else's.
ids: S16 S17
fill gen:1
greet
C: AUTH PLAIN \b{$V\0$U\0$P}
S: -ERR [AUTH]*
C: AUTH PLAIN \b{\0\xc2\xad\0$P}
S: -ERR [AUTH]*
C: AUTH PLAIN \b{$U\0\xc2\xad$U\0$P}
S: +OK 1 message*
C: QUIT
S: +OK*
expect-eof
