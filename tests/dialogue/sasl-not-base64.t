# Outside of base64 there is nothing; and then the next line is a command again.
ids: S05
fill gen:1
greet
C: AUTH PLAIN
S+:
C: AH UAcA==
S~ -ERR [^\[].*
C: AUTH PLAIN
S+:
C: AHUA-cA_
S: -ERR*
C: AUTH PLAIN AHUAcA=
S: -ERR*
C: AUTH PLAIN =AAA
S: -ERR*
C: AUTH PLAIN AAA=BBB
S: -ERR*
C: AUTH PLAIN
S+:
C: AHUA\tcA==
S: -ERR*
C: AUTH PLAIN AHUA\xd4A==
S: -ERR*
C: AUTH PLAIN AHUAcB==
S: -ERR*
C: AUTH PLAIN AHUAcA== x
S: -ERR*
C: AUTH PLAIN  AHUAcA==
S: -ERR*
login
C: QUIT
S: +OK*
expect-eof
