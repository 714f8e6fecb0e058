# The server speaks first, one line, and then waits.
ids: G01 G02 G03 A01 Q15
connect
greet
S-nothing: 0.3
C: QUIT
S: +OK*
expect-eof
