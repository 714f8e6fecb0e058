# Until QUIT has committed, another reader sees all of it.
ids: E01 E02 E03 Q01
fill gen:3
login
C: DELE 1
S: +OK*
C: DELE 3
S: +OK*
C: NOOP
S: +OK*
sql: select messages from postern.mailbox where address = '$U' => 3
C: RSET
S: +OK*
C: DELE 2
S: +OK*
C: QUIT
S: +OK*
expect-eof
sql: select messages, expunges, (select string_agg(uid::text, ' ' order by uid) from postern.message m where m.mailbox = b.mailbox) from postern.mailbox b where address = '$U' => 2|1|1 3
