ids: G24 G25
fill gen:2
login
C: STAT 1
S: -ERR*
C: NOOP x
S: -ERR*
C: RSET x
S: -ERR*
C: LIST 1 2
S: -ERR*
C: RETR 1 2
S: -ERR*
C: DELE 1 2
S: -ERR*
C: UIDL 1 2
S: -ERR*
C: TOP 1 2 3
S: -ERR*
C: CAPA x
S: -ERR*
C: DELE 1
S: +OK*
C: QUIT x
S: -ERR*
C: STAT
S: +OK 1 *
C: RSET
S: +OK*
C: STAT
S: +OK 2 *
C: QUIT
S: +OK*
expect-eof
sql: select messages from postern.mailbox where address = '$U' => 2
