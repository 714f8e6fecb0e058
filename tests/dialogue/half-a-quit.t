# QUIT without its line end does not count.
ids: Q07
modes: tcp socket pipe xinetd inetd
fill gen:2
A.login
A.C: DELE 1
A.S: +OK*
A.C-raw: QUIT
A.shutdown-write
A.expect-eof
sql-until: select count(*) from pg_locks where locktype = 'advisory' and objid = (select mailbox from postern.mailbox where address = '$U') => 0
sql: select messages from postern.mailbox where address = '$U' => 2
