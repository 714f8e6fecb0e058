# A connection that is lost deletes nothing, and gives the maildrop back.
ids: Q05 L05
modes: tcp socket xinetd inetd
fill gen:2
A.login
A.C: DELE 1
A.S: +OK*
A.reset
sql-until: select count(*) from pg_locks where locktype = 'advisory' and objid = (select mailbox from postern.mailbox where address = '$U') => 0
sql: select messages from postern.mailbox where address = '$U' => 2
B.login
B.C: STAT
B.S: +OK 2 *
B.C: QUIT
B.S: +OK*
