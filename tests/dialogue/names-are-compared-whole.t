# Two names that agree in their first 64 (and 120) octets are two accounts.
ids: A16
fill \{n*60}aa@$M.\{d*60}.example gen:1
fill \{n*60}ab@$M.\{d*60}.example gen:2
fill \{n*60}ab@$M.\{d*60}.example2 gen:3
login \{n*60}ab@$M.\{d*60}.example
C: STAT
S: +OK 2 *
C: QUIT
S: +OK*
expect-eof
