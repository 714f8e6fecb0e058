# k lines of the body; all of it if it has fewer; a count is a number.
ids: Y02 Y13 Y14 Y15 Y16 Y17
mail five Subject: x\nX-More: y\n\none\n.two\nthree\n\nfive\n
fill five 8-headers-only.eml 4-dots.eml
login
C: TOP 1 0
S: +OK*
S-top: five 0
C: TOP 1 1
S: +OK*
S-top: five 1
C: TOP 1 2
S: +OK*
S-top: five 2
C: TOP 1 4
S: +OK*
S-top: five 4
C: TOP 1 5
S: +OK*
S-top: five 5
C: TOP 1 6
S: +OK*
S-top: five 6
C: TOP 1 1000000
S: +OK*
S-top: five 1000000
C: TOP 2 0
S: +OK*
S-message: 8-headers-only.eml
C: TOP 2 10
S: +OK*
S-message: 8-headers-only.eml
C: TOP 3 3
S: +OK*
S-top: 4-dots.eml 3
C: TOP 1 -1
S: -ERR*
C: TOP 1 x
S: -ERR*
C: TOP 1 1x
S: -ERR*
C: TOP 1\s
S: -ERR*
C: TOP 4 0
S: -ERR*
C: TOP 1 2147483648
S: +OK*
S-message: five
C: TOP 1 4294967296
S: +OK*
S-message: five
C: TOP 1 9223372036854775807
S: +OK*
S-message: five
C: QUIT
S: +OK*
expect-eof
