# AUTH alone, as old Outlook asks, with and without a space behind it.
ids: S29
greet
C: AUTH
S: +OK*
S-set: SCRAM-SHA-256 | CRAM-MD5 | PLAIN | LOGIN
C: AUTH\s
S: +OK*
S-set: SCRAM-SHA-256 | CRAM-MD5 | PLAIN | LOGIN
C: QUIT
S: +OK*
expect-eof
