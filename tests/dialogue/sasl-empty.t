# An equals sign is an initial response that is there, but empty; an empty line is an empty response.
ids: S03 S05 S15
connect
greet
C: AUTH PLAIN =
S: -ERR [AUTH]*
C: AUTH PLAIN
S+:
C:
S: -ERR [AUTH]*
close
B.greet
B.C: AUTH SCRAM-SHA-256 =
B.S: -ERR [AUTH]*
B.C: AUTH LOGIN =
B.S: -ERR [AUTH]*
B.C: QUIT
B.S: +OK*
B.expect-eof
