# Two NULs, neither a name nor a password that is empty, UTF-8.
ids: S15
fill gen:1
A.greet
A.C: AUTH PLAIN \b{\0$U}
A.S: -ERR [AUTH]*
A.C: AUTH PLAIN \b{\0$U\0}
A.S: -ERR [AUTH]*
B.greet
B.C: AUTH PLAIN \b{\0\0$P}
B.S: -ERR [AUTH]*
B.C: AUTH PLAIN \b{\0$U\0$P\0x}
B.S: -ERR [AUTH]*
D.greet
D.C: AUTH PLAIN \b{\0$U\0\xff$P}
D.S: -ERR [AUTH]*
D.C: AUTH PLAIN \b{\0$U\0$P}
D.S: +OK*
