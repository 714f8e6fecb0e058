# What comes behind QUIT is not looked at, before the login or after it.
ids: A01 Q15 N01
fill 1-welcome.eml
greet
C: QUIT
C: USER $U
C: PASS $P
S: +OK*
expect-eof
