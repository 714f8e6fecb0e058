# PLAIN with and without an initial response; names of mechanisms in any case.
ids: S01 S02 S08 S13 S14 S18 C05
fill gen:2
greet
C: AUTH PLAIN
S+:
C: \b{\0$U\0$P}
S: +OK 2 messages*
C: AUTH PLAIN \b{\0$U\0$P}
S: -ERR*
C: CAPA
S: +OK*
S-set: TOP | UIDL | USER | RESP-CODES | AUTH-RESP-CODE | PIPELINING | IMPLEMENTATION * | SASL SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN
C: QUIT
S: +OK*
expect-eof
