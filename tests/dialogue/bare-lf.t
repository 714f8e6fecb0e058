# A line that LF alone ends is a command, in both states; one that CR alone ends is not.
ids: G18 G19
fill gen:2
greet
C-raw: CAPA\n
S: +OK*
S: *until-dot
C-raw: USER $U\nPASS $P\n
S: +OK*
S: +OK*
C-raw: STAT\nNOOP\r\nNOOP\n
S: +OK 2 *
S: +OK*
S: +OK*
C-raw: NOOP\rDELE 1\r\nSTAT\r\n
S: -ERR*
S: +OK 2 *
C-raw: QUIT\n
S: +OK*
expect-eof
