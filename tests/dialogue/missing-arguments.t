ids: G26
fill gen:1
greet
C: USER
S: -ERR*
C: PASS
S: -ERR*
C: APOP
S: -ERR*
C: APOP x
S: -ERR*
login
C: RETR
S: -ERR*
C: DELE
S: -ERR*
C: TOP
S: -ERR*
C: TOP 1
S: -ERR*
C: QUIT
S: +OK*
expect-eof
