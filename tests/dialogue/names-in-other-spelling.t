# Upper case, and another name of the domain, mean the same maildrop and the same lock.
ids: L07 L01
modes: tcp
fill gen:1
A.greet
A.C: USER NAMES-IN-OTHER-SPELLING.TCP@Dialogue.EXAMPLE
A.S: +OK*
A.C: PASS $P
A.S: +OK*
A.C: STAT
A.S: +OK 1 *
B.greet
B.C: USER $U
B.S: +OK*
B.C: PASS $P
B.S: -ERR [IN-USE]*
A.C: QUIT
A.S: +OK*
B.C: USER $U
B.S: +OK*
B.C: PASS $P
B.S: +OK*
B.C: QUIT
B.S: +OK*
