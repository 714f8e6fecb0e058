# A mailbox that was switched off looks as one that never was; in mid-session nothing is lost.
ids: A02 Q19 A23
modes: tcp socket
fill gen:1
ctl mailbox disable $U
A.greet
A.C: USER $U
A.S: +OK*
A.C: PASS $P
A.S: -ERR [AUTH]*
ctl mailbox enable $U
A.C: USER $U
A.S: +OK*
A.C: PASS $P
A.S: +OK*
ctl mailbox disable $U
A.C: STAT
A.S: +OK 1 *
A.C: QUIT
A.S: +OK*
ctl mailbox enable $U
