# It leaves the state as it was: the next try is a fresh one.
ids: A08 A11 A10
fill gen:1
greet
C: USER $U
S: +OK*
C: PASS wrong
S: -ERR [AUTH]*
C: PASS $P
S: -ERR*
C: USER ghost@dialogue.example
S: +OK*
C: PASS $P
S: -ERR [AUTH]*
C: USER $U
S: +OK*
C: PASS $P
S: +OK*
C: QUIT
S: +OK*
expect-eof
