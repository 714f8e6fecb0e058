# 64 KiB without a line end: the server gives up, and never takes what it got for a command.
ids: G11
modes: tcp socket pipe xinetd inetd
fill gen:1
login
C-raw: \{A*200000}
S: -ERR*
expect-eof
