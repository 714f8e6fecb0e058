/*
 * elsewhere.h - an old server, at which a mailbox still is: what a worker needs to
 * relay a login to it. One text on the whole way, from postern.login() to the worker.
 *
 * Pure: octets in, facts out. Whoever wrote the text is not trusted: what is in it goes
 * to a resolver and into the lines of a protocol.
 */
#ifndef POSTERN_AUTH_ELSEWHERE_H
#define POSTERN_AUTH_ELSEWHERE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

enum {
    ELSEWHERE_HOST_MAX = 253,
    ELSEWHERE_NAME_MAX = 320,       /* octets of a name there */
    ELSEWHERE_MAX = 640,            /* of the text */
};

enum elsewhere_tls {
    ELSEWHERE_POPS,     /* from the first octet (RFC 8314 section 3.3) */
    ELSEWHERE_STLS,     /* by that command (RFC 2595) */
    ELSEWHERE_NONE,
};

/* How it is told where the client is. */
enum elsewhere_tells {
    ELSEWHERE_NOTHING,
    ELSEWHERE_PROXY1, ELSEWHERE_PROXY2,     /* a PROXY header before all else */
    ELSEWHERE_XCLIENT,                      /* that command, as Dovecot has it */
};

struct elsewhere {
    int64_t server;         /* its number in postern.old_server */
    struct span host;       /* a name or an address: letters, digits, `.`, `:`, `-`, `_` */
    uint16_t port;
    enum elsewhere_tls tls;
    enum elsewhere_tells tells;
    bool cleartext;         /* it may be sent a password without TLS */
    bool learn;             /* passwords that it accepts are to be stored here */
    struct span name;       /* of the mailbox there: no control character */
};

/* The spans point into text, as postern.elsewhere_text() makes it. False: it is none. */
bool elsewhere_parse(struct span text, struct elsewhere *out);

#endif
