# Behind QUIT the client shuts its side down: the reply still comes.
ids: Q08 Q01
modes: tcp socket pipe xinetd inetd
fill gen:2
A.login
A.C: DELE 1
A.S: +OK*
A.C: QUIT
A.shutdown-write
A.S: +OK*
A.expect-eof
sql: select messages from postern.mailbox where address = '$U' => 1
