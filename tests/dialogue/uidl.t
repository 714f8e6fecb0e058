# Unique for equal letters, the same after sessions with and without QUIT, never used again.
ids: U01 U03 U06 U08 U09
mail same Subject: the same\n\nthree times\n
fill same same same
login
C: UIDL
S: +OK*
S~ 1 [!-~]{1,70}
S~ 2 [!-~]{1,70}
S~ 3 [!-~]{1,70}
S: .
C: UIDL 2
S~ \+OK 2 [!-~]{1,70}
C: DELE 2
S: +OK*
C: UIDL
S: +OK*
S~ 1 [!-~]{1,70}
S~ 3 [!-~]{1,70}
S: .
C: UIDL 2
S: -ERR*
C: QUIT
S: +OK*
expect-eof
