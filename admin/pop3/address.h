/*
 * address.h - where a POP3 server is: pop://HOST or pops://HOST, with :PORT where it is not the
 * usual one. Pure.
 */
#ifndef POSTERN_ADMIN_POP3_ADDRESS_H
#define POSTERN_ADMIN_POP3_ADDRESS_H

#include <stdbool.h>

struct pop3_address {
    bool tls;           /* from the first octet on (RFC 8314 section 3.2), not by STLS */
    char *host;         /* in lower case; of an IPv6 address without its brackets */
    char *port;         /* a number */
};

/* NULL and *address_r, to pop3_address_free(); or why it cannot be used (static text, as in "\"...\" ..."). */
const char *pop3_address(const char *text, struct pop3_address *address_r);
void pop3_address_free(struct pop3_address *address);

#endif
