ids: X02
fill
login
C: STAT
S: +OK 0 0
C: LIST
S: +OK*
S: .
C: UIDL
S: +OK*
S: .
C: LIST 1
S: -ERR*
C: RETR 1
S: -ERR*
C: RSET
S: +OK*
C: QUIT
S: +OK*
expect-eof
