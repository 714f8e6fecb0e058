# The same where the input simply ends there.
ids: Q07 N08
modes: file
fill gen:2
login
C: DELE 1
C-raw: QUIT
S: +OK*
expect-eof
sql: select messages from postern.mailbox where address = '$U' => 2
