# PASS counts right after a good USER. CAPA may come between; anything else clears the name.
ids: A03 A04 A05 G15
fill gen:1
fill $V gen:2
greet
C: PASS $P
S: -ERR*
C: USER $U
S: +OK*
C: CAPA
S: +OK*
S: *until-dot
C: XX
S: -ERR*
C: PASS $P
S: -ERR*
C: USER $U
S: +OK*
C: NOOP
S: -ERR*
C: PASS $P
S: -ERR*
C: USER $U
S: +OK*
C: USER $V
S: +OK*
C: CAPA
S: +OK*
S: *until-dot
C: PASS $P
S: +OK*
C: STAT
S: +OK 2 *
C: QUIT
S: +OK*
expect-eof
