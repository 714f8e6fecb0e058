# The operator removes message 2 in mid-session: the numbers stay, and QUIT works.
ids: X08
modes: tcp socket inetd
fill gen:3
A.login
ctl message remove $U 2
A.C: STAT
A.S: +OK 3 *
A.C: RETR 2
A.S: -ERR*
A.C: TOP 2 0
A.S: -ERR*
A.C: RETR 3
A.S: +OK*
A.S: *until-dot
A.C: DELE 2
A.S: +OK*
A.C: DELE 3
A.S: +OK*
A.C: QUIT
A.S: +OK*
A.expect-eof
sql: select messages from postern.mailbox where address = '$U' => 1
B.login
B.C: STAT
B.S: +OK 1 *
B.C: QUIT
B.S: +OK*
