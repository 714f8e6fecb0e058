# What SCRAM does not take, and that a name that is not there looks like one that is.
ids: S22 S23 S24 S25 S26
A.greet
A.C: AUTH SCRAM-SHA-256 \b{n,,m=x,n=ghost@dialogue.example,r=abc}
A.S: -ERR [AUTH]*
A.C: AUTH SCRAM-SHA-256 \b{n,,n=a=41,r=abc}
A.S: -ERR [AUTH]*
B.greet
B.C: AUTH SCRAM-SHA-256 \b{p=tls-exporter,,n=ghost@dialogue.example,r=abc}
B.S: -ERR [AUTH]*
B.C: AUTH SCRAM-SHA-256 \b{n,,n=gh=2Cost@dialogue.example,r=abc,z=1}
B.S+: r=abc?*,s=*,i=4096
B.C: \b{c=biws,r=other,p=AAAA}
B.S: -ERR [AUTH]*
