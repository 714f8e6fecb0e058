/*
 * parse.h - what a POP3 server says, line by line. Pure; lines are without their end, and may
 * hold any octet.
 */
#ifndef POSTERN_ADMIN_POP3_PARSE_H
#define POSTERN_ADMIN_POP3_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

enum pop3_status {
    POP3_NONSENSE,      /* is no reply */
    POP3_OK,
    POP3_ERR,
    POP3_CHALLENGE,     /* of SASL: "+ " (RFC 5034 section 4) */
};
struct pop3_reply {
    enum pop3_status status;
    struct span code;   /* of an -ERR, without brackets: "IN-USE" (RFC 2449 section 8); or empty */
    struct span text;   /* what follows */
};
/* Views of the line. */
struct pop3_reply pop3_reply(struct span line);

/* What LATER means: the same again may work in a while. */
enum pop3_code { POP3_CODE_NONE, POP3_CODE_LATER, POP3_CODE_AUTH, POP3_CODE_NEVER };
/* RFC 2449 section 8.1, RFC 3206. *seconds_r: how long that is, if the server says so; else 0. */
enum pop3_code pop3_code(const struct pop3_reply *reply, unsigned *seconds_r);

/* A line of LIST or UIDL: a number that is not 0, blanks, and the rest without blanks at its end. */
bool pop3_numbered(struct span line, uint32_t *number_r, struct span *rest_r);
/* The number that the rest of a line of LIST begins with. */
bool pop3_octets(struct span rest, uint64_t *octets_r);

/* What CAPA says, as far as it matters. */
struct pop3_capa {
    bool stls, pipelining, user, sasl_plain;
    unsigned login_delay;       /* seconds; 0: none */
};
void pop3_capa(struct pop3_capa *capa, struct span line);

#endif
