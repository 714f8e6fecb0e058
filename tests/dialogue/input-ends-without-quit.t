# Everything that was asked for is answered; nothing is deleted.
ids: Q05 Q07
modes: tcp socket pipe file xinetd inetd
fill 1-welcome.eml 2-utf8.eml
login
C: DELE 1
C: RETR 2
S: +OK*
S: +OK*
S-message: 2-utf8.eml
