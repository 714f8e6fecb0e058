# One session at a time; who does not know the password is not told so.
ids: L01 L02 A24 R07 Q17
modes: tcp socket pipe xinetd inetd
fill gen:2
A.login
B.greet
B.C: USER $U
B.S: +OK*
B.C: PASS wrong
B.S: -ERR [AUTH]*
B.C: USER $U
B.S: +OK*
B.C: PASS $P
B.S: -ERR [IN-USE]*
B.C: CAPA
B.S: +OK*
B.S: *until-dot
A.C: DELE 1
A.S: +OK*
A.C: QUIT
A.S: +OK*
B.C: USER $U
B.S: +OK*
B.C: PASS $P
B.S: +OK*
B.C: STAT
B.S: +OK 1 *
B.C: QUIT
B.S: +OK*
B.expect-eof
