# A NUL makes a command invalid; it does not end a string.
ids: G16
fill gen:2
login
C: STAT\0junk
S: -ERR*
C: DELE 1\0
S: -ERR*
C: \0
S: -ERR*
C: STAT
S: +OK 2 *
C: QUIT
S: +OK*
expect-eof
