# The same where the client never looks at the replies: DELE and QUIT in one segment, then gone.
ids: Q06
modes: tcp socket xinetd inetd
fill gen:2
A.login
A.C-raw: DELE 2\r\nQUIT\r\n
A.close
sql-until: select messages from postern.mailbox where address = '$U' => 1
