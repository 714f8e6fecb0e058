ids: G16 A06
fill gen:1
greet
C: USER $U
S: +OK*
C: PASS $P\0x
S: -ERR*
C: USER $U\0x
S: -ERR*
login
C: QUIT
S: +OK*
expect-eof
