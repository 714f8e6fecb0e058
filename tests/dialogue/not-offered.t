# What CAPA does not announce is refused before the login too.
ids: C03 G12
greet
C: AUTH GSSAPI
S: -ERR*
C: AUTH SCRAM-SHA-256-PLUS
S: -ERR*
C: APOP x c4c9334bac560ecc979e58001b3e22fb
S: -ERR*
C: STLS
S: -ERR*
C: UTF8
S: -ERR*
C: LANG
S: -ERR*
C: QUIT
S: +OK*
expect-eof
