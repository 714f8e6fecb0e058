ids: G20 N02
fill gen:1
greet
C-bytes: USER $U
S: +OK*
C-bytes: PASS $P
S: +OK*
C-bytes: STAT
S: +OK 1 *
C-bytes: QUIT
S: +OK*
expect-eof
