# After the third refusal the connection ends.
ids: A09
fill gen:1
greet
C: USER $U
C: PASS one
S: +OK*
S: -ERR [AUTH]*
C: USER $U
C: PASS two
S: +OK*
S: -ERR [AUTH]*
C: USER $U
C: PASS three
C: USER $U
C: PASS $P
S: +OK*
S: -ERR [AUTH]*
expect-eof
