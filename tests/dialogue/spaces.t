# One space parts keyword and arguments; TAB is none; a space at the end is an empty argument.
ids: G21 G22 G23
fill gen:2
login
C: LIST  1
S: -ERR*
C: TOP 1  0
S: -ERR*
C:  LIST 1
S: -ERR*
C: STAT\s
S: -ERR*
C: LIST\s
S: -ERR*
C: LIST 1\s
S: -ERR*
C: LIST\t1
S: -ERR*
C: QUIT\s
S: -ERR*
C: LIST 1
S: +OK 1 *
C: QUIT
S: +OK*
expect-eof
