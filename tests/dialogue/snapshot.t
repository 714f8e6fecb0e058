# What is delivered in mid-session is seen at the next login, and outlives the QUIT of this one.
ids: X07 Q16 L08
modes: tcp socket xinetd
fill gen:2
A.login
A.C: STAT
A.S: +OK 2 *
ctl import --format eml $U tests/mail/1-welcome.eml
A.C: STAT
A.S: +OK 2 *
A.C: LIST 3
A.S: -ERR*
A.C: DELE 1
A.S: +OK*
A.C: DELE 2
A.S: +OK*
A.C: QUIT
A.S: +OK*
A.expect-eof
B.login
B.C: STAT
B.S: +OK 1 *
B.C: RETR 1
B.S: +OK*
B.S-message: 1-welcome.eml
B.C: QUIT
B.S: +OK*
