# G07 itself is checked in every stream: here are commands that tempt to long replies.
ids: G07 G08 G09 G17
fill gen:1
greet
C: USER \{a*248}
S: +OK*
C: \{X*250}
S: -ERR*
login
C: RETR \{9*200}
S: -ERR*
C: \{X*250}
S: -ERR*
C: LIST \{9*240}
S: -ERR*
C: QUIT
S: +OK*
expect-eof
