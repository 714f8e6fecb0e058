# No initial response where the server begins; no mechanism that is unknown or not configured.
ids: S06 S07 S12 S19 S28
greet
C: AUTH CRAM-MD5 YWJj
S: -ERR*
C: AUTH FOO
S: -ERR*
C: AUTH EXTERNAL =
S: -ERR*
C: AUTH SCRAM-SHA-1
S: -ERR*
C: AUTH APOP
S: -ERR*
C: AUTH CRAM-MD5
S+: <*@*>
C: \b{$U 00000000000000000000000000000000}
S: -ERR [AUTH]*
C: AUTH CRAM-MD5
S+: <*@*>
C: \b{$U}
S: -ERR [AUTH]*
C: QUIT
S: +OK*
expect-eof
