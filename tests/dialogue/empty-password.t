# It opens nothing, whatever is stored: an account without any secret has none that fits.
ids: A07
fill gen:1
greet
C: USER $U
S: +OK*
C: PASS\s
S: -ERR*
C: USER $U
S: +OK*
C: PASS
S: -ERR*
login
C: QUIT
S: +OK*
expect-eof
