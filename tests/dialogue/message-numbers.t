# Decimal digits within 1..n; what is too large is an error and wraps to nothing.
ids: G27 G28 G29 X09
fill gen:3
login
C: LIST 0
S: -ERR*
C: NOOP
S: +OK*
C: RETR 0
S: -ERR*
C: NOOP
S: +OK*
C: DELE 0
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 0
S: -ERR*
C: NOOP
S: +OK*
C: TOP 0 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST -1
S: -ERR*
C: NOOP
S: +OK*
C: RETR -1
S: -ERR*
C: NOOP
S: +OK*
C: DELE -1
S: -ERR*
C: NOOP
S: +OK*
C: UIDL -1
S: -ERR*
C: NOOP
S: +OK*
C: TOP -1 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST +1
S: -ERR*
C: NOOP
S: +OK*
C: RETR +1
S: -ERR*
C: NOOP
S: +OK*
C: DELE +1
S: -ERR*
C: NOOP
S: +OK*
C: UIDL +1
S: -ERR*
C: NOOP
S: +OK*
C: TOP +1 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 1x
S: -ERR*
C: NOOP
S: +OK*
C: RETR 1x
S: -ERR*
C: NOOP
S: +OK*
C: DELE 1x
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 1x
S: -ERR*
C: NOOP
S: +OK*
C: TOP 1x 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 0x1
S: -ERR*
C: NOOP
S: +OK*
C: RETR 0x1
S: -ERR*
C: NOOP
S: +OK*
C: DELE 0x1
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 0x1
S: -ERR*
C: NOOP
S: +OK*
C: TOP 0x1 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 1.0
S: -ERR*
C: NOOP
S: +OK*
C: RETR 1.0
S: -ERR*
C: NOOP
S: +OK*
C: DELE 1.0
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 1.0
S: -ERR*
C: NOOP
S: +OK*
C: TOP 1.0 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST \xef\xbc\x91
S: -ERR*
C: NOOP
S: +OK*
C: RETR \xef\xbc\x91
S: -ERR*
C: NOOP
S: +OK*
C: DELE \xef\xbc\x91
S: -ERR*
C: NOOP
S: +OK*
C: UIDL \xef\xbc\x91
S: -ERR*
C: NOOP
S: +OK*
C: TOP \xef\xbc\x91 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 1e0
S: -ERR*
C: NOOP
S: +OK*
C: RETR 1e0
S: -ERR*
C: NOOP
S: +OK*
C: DELE 1e0
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 1e0
S: -ERR*
C: NOOP
S: +OK*
C: TOP 1e0 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST ""
S: -ERR*
C: NOOP
S: +OK*
C: RETR ""
S: -ERR*
C: NOOP
S: +OK*
C: DELE ""
S: -ERR*
C: NOOP
S: +OK*
C: UIDL ""
S: -ERR*
C: NOOP
S: +OK*
C: TOP "" 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 4294967297
S: -ERR*
C: NOOP
S: +OK*
C: RETR 4294967297
S: -ERR*
C: NOOP
S: +OK*
C: DELE 4294967297
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 4294967297
S: -ERR*
C: NOOP
S: +OK*
C: TOP 4294967297 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 18446744073709551617
S: -ERR*
C: NOOP
S: +OK*
C: RETR 18446744073709551617
S: -ERR*
C: NOOP
S: +OK*
C: DELE 18446744073709551617
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 18446744073709551617
S: -ERR*
C: NOOP
S: +OK*
C: TOP 18446744073709551617 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST \{9*240}
S: -ERR*
C: NOOP
S: +OK*
C: RETR \{9*240}
S: -ERR*
C: NOOP
S: +OK*
C: DELE \{9*240}
S: -ERR*
C: NOOP
S: +OK*
C: UIDL \{9*240}
S: -ERR*
C: NOOP
S: +OK*
C: TOP \{9*240} 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 4
S: -ERR*
C: NOOP
S: +OK*
C: RETR 4
S: -ERR*
C: NOOP
S: +OK*
C: DELE 4
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 4
S: -ERR*
C: NOOP
S: +OK*
C: TOP 4 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 1,2
S: -ERR*
C: NOOP
S: +OK*
C: RETR 1,2
S: -ERR*
C: NOOP
S: +OK*
C: DELE 1,2
S: -ERR*
C: NOOP
S: +OK*
C: UIDL 1,2
S: -ERR*
C: NOOP
S: +OK*
C: TOP 1,2 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST *
S: -ERR*
C: NOOP
S: +OK*
C: RETR *
S: -ERR*
C: NOOP
S: +OK*
C: DELE *
S: -ERR*
C: NOOP
S: +OK*
C: UIDL *
S: -ERR*
C: NOOP
S: +OK*
C: TOP * 0
S: -ERR*
C: NOOP
S: +OK*
C: LIST 01
S: +OK 1 *
C: LIST 0000000000000000000000000000000000000000000000000003
S: +OK 3 *
C: STAT
S: +OK 3 *
C: QUIT
S: +OK*
expect-eof
sql: select messages from postern.mailbox where address = '$U' => 3
