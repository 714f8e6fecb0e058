# Quotes, percent signs, control octets, ill-formed UTF-8: refused as any unknown name is.
ids: G14 A17 N11
greet
C: USER '||'1'='1'--
S: +OK*
C: PASS ' or '1'='1
S: -ERR [AUTH]*
C: USER a\xc3\x28@dialogue.example
S~ (\+OK|-ERR).*
C: PASS x
S: -ERR*
C: USER %s%n a "b" \\ \x1b
S~ (\+OK|-ERR).*
C: USER a\rb@dialogue.example
S~ (\+OK|-ERR).*
C: QUIT
S: +OK*
expect-eof
