ids: X01 X02 X03 X05 X06 X09 X12 E02
fill gen:3
login
C: STAT
S~ \+OK 3 \d+
C: LIST
S: +OK*
S~ 1 \d+
S~ 2 \d+
S~ 3 \d+
S: .
C: LIST 2
S~ \+OK 2 \d+
C: DELE 1
S: +OK*
C: STAT
S~ \+OK 2 \d+
C: LIST
S: +OK*
S~ 2 \d+
S~ 3 \d+
S: .
C: UIDL
S: +OK*
S~ 2 [!-~]{1,70}
S~ 3 [!-~]{1,70}
S: .
C: LIST 1
S: -ERR*
C: UIDL 1
S: -ERR*
C: RETR 1
S: -ERR*
C: TOP 1 0
S: -ERR*
C: DELE 1
S: -ERR*
C: STAT
S~ \+OK 2 \d+
C: DELE 2
S: +OK*
C: DELE 3
S: +OK*
C: STAT
S: +OK 0 0
C: LIST
S: +OK*
S: .
C: UIDL
S: +OK*
S: .
C: RSET
S: +OK*
C: STAT
S~ \+OK 3 \d+
C: QUIT
S: +OK*
expect-eof
sql: select messages from postern.mailbox where address = '$U' => 3
