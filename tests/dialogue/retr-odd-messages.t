# Dots at both ends, a dot right behind the blank line, bare line ends, NULs.
ids: Y02 Y04 Y05 Y08 X04
mail dot-first .Subject: dot first\n\nx\n
mail dot-after-blank Subject: x\n\n.\n
mail only-dots Subject: x\n\n.\n..\n.\n
mail bare-lf Subject: x\r\n\r\na\n.\nb\r\n
mail bare-cr Subject: x\r\n\r\na\r.\rb\r\n
mail no-end Subject: x\n\nthe end
mail dot-no-end Subject: x\n\n.
mail nul Subject: x\n\na\0b\n\0\n
mail no-header \nonly a body\n
mail long Subject: x\n\n\{y*100000}\n
fill dot-first dot-after-blank only-dots bare-lf bare-cr no-end dot-no-end nul no-header long
login
C: RETR 1
S: +OK*
S-message: dot-first
C: RETR 2
S: +OK*
S-message: dot-after-blank
C: RETR 3
S: +OK*
S-message: only-dots
C: RETR 4
S: +OK*
S-message: bare-lf
C: RETR 5
S: +OK*
S-message: bare-cr
C: RETR 6
S: +OK*
S-message: no-end
C: RETR 7
S: +OK*
S-message: dot-no-end
C: RETR 8
S: +OK*
S-message: nul
C: RETR 9
S: +OK*
S-message: no-header
C: RETR 10
S: +OK*
S-message: long
C: TOP 2 1
S: +OK*
S-top: dot-after-blank 1
C: LIST 6
S: +OK 6 23
C: LIST 3
S: +OK 3 24
C: QUIT
S: +OK*
expect-eof
