# Behind QUIT nothing counts, a DELE neither.
ids: Q15 Q01
fill gen:2
login
C-raw: DELE 1\r\nQUIT\r\nDELE 2\r\nSTAT\r\n
S: +OK*
S: +OK*
expect-eof
sql: select string_agg(m.uid::text, ' ') from postern.message m join postern.mailbox b using (mailbox) where b.address = '$U' => 2
