# The password of the first name does not open the second one's maildrop, nor the first's.
ids: A05 A08 A11 R07
fill gen:1
fill $V gen:2
password first password
greet
C: USER $U
S: +OK*
C: USER $V
S: +OK*
C: PASS first password
S: -ERR [AUTH]*
C: USER $U
S: +OK*
C: PASS first password
S: +OK*
C: STAT
S: +OK 1 *
C: QUIT
S: +OK*
expect-eof
