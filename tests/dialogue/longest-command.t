# A command of 255 octets, its line end among them, is taken; a name that fills it can log in.
# One octet more is refused, and what follows is read as if nothing had been.
ids: G08 G09
modes: tcp
fill \{l*64}@\{a*60}.\{b*60}.\{c*61} gen:1
login \{l*64}@\{a*60}.\{b*60}.\{c*61}
C: STAT
S: +OK 1 *
C: NOOP \{A*248}
S: -ERR*
C: NOOP \{A*249}
S: -ERR*
C: STAT
S: +OK 1 *
C: QUIT
S: +OK*
expect-eof
