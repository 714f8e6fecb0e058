# A command that the state does not have is refused, and changes nothing.
ids: G15 A03 G17
fill gen:1
greet
C: STAT
S: -ERR*
C: LIST
S: -ERR*
C: RETR 1
S: -ERR*
C: DELE 1
S: -ERR*
C: NOOP
S: -ERR*
C: RSET
S: -ERR*
C: TOP 1 0
S: -ERR*
C: UIDL
S: -ERR*
C: PASS $P
S: -ERR*
login
C: USER $U
S: -ERR*
C: PASS $P
S: -ERR*
C: APOP x y
S: -ERR*
C: AUTH PLAIN
S: -ERR*
C: AUTH
S: -ERR*
C: STLS
S: -ERR*
C: UTF8
S: -ERR*
C: LANG
S: -ERR*
C: STAT
S: +OK 1 *
C: QUIT
S: +OK*
expect-eof
