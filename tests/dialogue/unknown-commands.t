ids: G12 G13 G14 G17 E05 E06
fill gen:1
greet
C: XYZZY
S: -ERR*
C: CAPA
S: +OK*
S: *until-dot
C:
C: USER nobody
S: -ERR*
S: +OK*
C: A:B
S: -ERR*
C: %s%n%s%n
S: -ERR*
C: \xff\xfe
S: -ERR*
C: \x1b[31mX
S: -ERR*
C: "QUIT"
S: -ERR*
login
C:
C: NOOP
S: -ERR*
S: +OK*
C: A:B
S: -ERR*
C: /\\"%\x7f\x80
S: -ERR*
C: %s%n
S: -ERR*
C: \xff\xfe
S: -ERR*
C: LIST \x1b[31m
S: -ERR*
C: LAST
S: -ERR*
C: XTND XLST
S: -ERR*
C: XMIT
S: -ERR*
C: STAT
S: +OK 1 *
C: QUIT
S: +OK*
expect-eof
