# A star ends an exchange, and everything is as it was before.
ids: S04 S09 R07
fill gen:1
greet
C: AUTH PLAIN
S+:
C: *
S~ -ERR [^\[].*
C: CAPA
S: +OK*
S: *until-dot
C: AUTH CRAM-MD5
S+: <*@*>
C: *
S~ -ERR [^\[].*
C: STAT
S: -ERR*
C: AUTH SCRAM-SHA-256 \b{n,,n=$U,r=abcdefgh}
S+: r=abcdefgh?*,s=*,i=4096
C: \b{c=biws,r=abcdefgh,p=AAAA}
S: -ERR [AUTH]*
C: USER $U
S: +OK*
C: PASS $P
S: +OK*
C: QUIT
S: +OK*
expect-eof
