# Everything behind the first space is the password.
ids: A06
fill gen:1
password \sa\s\sb\s
greet
C: USER $U
S: +OK*
C: PASS a  b
S: -ERR [AUTH]*
C: USER $U
S: +OK*
C: PASS  a  b
S: -ERR [AUTH]*
C: USER $U
S: +OK*
C: PASS \sa\s\sb\s
S: +OK*
C: QUIT
S: +OK*
expect-eof
