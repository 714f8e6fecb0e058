# A refusal says which message, and how many there are.
ids: X09 X02
fill gen:3
login
C: RETR 7
S: -ERR*7*3*
C: DELE 2
S: +OK*
C: DELE 2
S: -ERR*2*deleted*
C: RETR 2
S: -ERR*2*deleted*
C: QUIT
S: +OK*
expect-eof
