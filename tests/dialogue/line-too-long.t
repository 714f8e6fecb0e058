# One -ERR, however long the line; its end is not a command.
ids: G09 G10
fill gen:2
greet
C: USER \{u*5000}
S: -ERR*
C: CAPA
S: +OK*
S: *until-dot
login
C: NOOP \{A*5000}
C: CAPA
S: -ERR*
S: +OK*
S: *until-dot
C: NOOP \{A*40000}DELE 1
S: -ERR*
C: STAT
S: +OK 2 *
C: QUIT
S: +OK*
expect-eof
