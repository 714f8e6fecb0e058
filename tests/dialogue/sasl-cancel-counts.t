# An exchange that a helper was asked for is a try, though it is given up.
ids: S30 P10
connect
greet
C: AUTH CRAM-MD5
S+: <*@*>
C: *
S: -ERR*
C: AUTH CRAM-MD5
S+: <*@*>
C: *
S: -ERR*
C: AUTH CRAM-MD5
S+: <*@*>
C: *
S: -ERR*
expect-eof
