# A QUIT line that has arrived whole counts, though the client closes at once.
ids: Q06
modes: tcp socket pipe xinetd inetd
fill gen:2
A.login
A.C: DELE 1
A.S: +OK*
A.C: QUIT
A.close
sql-until: select messages from postern.mailbox where address = '$U' => 1
