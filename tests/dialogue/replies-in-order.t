ids: G30 N01 N03
fill gen:2
login
C-raw: LIST 1\r\nXX\r\nSTAT\r\nUIDL 1\r\nNOOP\r\nRETR 999\r\nSTAT\r\n
S: +OK 1 *
S: -ERR*
S~ \+OK 2 \d+
S~ \+OK 1 [!-~]{1,70}
S: +OK*
S: -ERR*
S~ \+OK 2 \d+
C: QUIT
S: +OK*
expect-eof
