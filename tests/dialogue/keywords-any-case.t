ids: G04
fill gen:1
greet
C: cApA
S: +OK*
S: *until-dot
C: uSeR $U
S: +OK*
C: pAsS $P
S: +OK*
C: sTaT
S: +OK 1 *
C: noop
S: +OK*
C: qUiT
S: +OK*
expect-eof
