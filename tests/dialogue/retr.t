# Octet for octet; lines that begin with a dot are stuffed, nothing is added to a message that ends well.
ids: Y01 Y02 Y05 Y06 Y07 Y09 G31
fill all
login
C: RETR 1
S: +OK*
S-message: 1-welcome.eml
C: RETR 2
S: +OK*
S-message: 2-utf8.eml
C: RETR 3
S: +OK*
S-message: 3-picture.eml
C: RETR 4
S: +OK*
S-message: 4-dots.eml
C: RETR 5
S: +OK*
S-message: 5-longline.eml
C: RETR 6
S: +OK*
S-message: 6-no-last-line-end.eml
C: RETR 7
S: +OK*
S-message: 7-latin1.eml
C: RETR 8
S: +OK*
S-message: 8-headers-only.eml
C: QUIT
S: +OK*
expect-eof
