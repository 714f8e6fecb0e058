# However the octets come.
ids: S18 N02
fill gen:1
connect
greet
C-bytes: AUTH PLAIN
S+:
C-bytes: \b{\0$U\0$P}
S: +OK*
C-bytes: QUIT
S: +OK*
expect-eof
