# A NUL in the middle of an exchange.
ids: S05 G16
greet
C: AUTH PLAIN
S+:
C: AHUA\0cA==
S: -ERR*
C: QUIT
S: +OK*
expect-eof
