# A whole session in one segment, the password in the middle of it.
ids: N01 N02 N03
fill 1-welcome.eml 4-dots.eml
greet
C-raw: USER $U\r\nPASS $P\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\nQUIT\r\n
S: +OK*
S: +OK*
S~ \+OK 2 \d+
S: +OK*
S~ 1 \d+
S~ 2 \d+
S: .
S: +OK*
S: 1 *
S: 2 *
S: .
S: +OK*
S-message: 1-welcome.eml
S: +OK*
S: +OK*
S-message: 4-dots.eml
S: +OK*
expect-eof
sql: select messages from postern.mailbox where address = '$U' => 1
