ids: N06 T14
greet
C-many: 40 GET / HTTP/1.1
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
S: -ERR*
expect-eof
