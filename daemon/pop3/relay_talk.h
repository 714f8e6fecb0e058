/*
 * relay_talk.h - what an old server says up to its answer to a login, and what is to be said next. Pure:
 * lines in, a word out; no socket, no session, so that a fuzzer can drive it.
 *
 * It keeps nothing of what the server says but whether PLAIN was offered, and a bound on how much there
 * was of it.
 */
#ifndef POSTERN_POP3_RELAY_TALK_H
#define POSTERN_POP3_RELAY_TALK_H

#include <stdbool.h>

#include "daemon/session/line.h"

/* What is to be done next. */
enum relay_next {
    RELAY_WAIT,             /* for another line */
    RELAY_SAY_STLS,
    RELAY_BEGIN_TLS,        /* then relay_talk_secured(); no octet may have come behind this line */
    RELAY_SAY_XCLIENT,
    RELAY_SAY_CAPA,
    RELAY_SAY_AUTH,         /* AUTH PLAIN, without an initial response */
    RELAY_SAY_RESPONSE,     /* its message, in base64 */
    RELAY_SAY_USER,
    RELAY_SAY_PASS,
    RELAY_ACCEPTED,
    RELAY_REFUSED,          /* refused_r says for what reason */
    RELAY_FAULT,            /* this is no POP3 server that can be used: `fault` says why */
};

/* Why a login was refused, by its response code (RFC 2449 section 8.1.1, RFC 3206). */
enum relay_refusal {
    RELAY_WRONG,            /* [AUTH], or no code that is known */
    RELAY_IN_USE, RELAY_LOGIN_DELAY, RELAY_SYS_TEMP, RELAY_SYS_PERM,
};

enum relay_step {
    STEP_GREETING, STEP_STLS, STEP_XCLIENT, STEP_CAPA, STEP_CAPA_LIST, STEP_AUTH, STEP_RESPONSE, STEP_USER, STEP_PASS,
    STEP_OVER,
};

struct relay_talk {
    enum relay_step step;
    bool stls, xclient;     /* to be said */
    bool plain;             /* it is offered */
    bool named;             /* the mailbox was named: what goes wrong from then on may be that one's fault alone */
    unsigned lines;         /* of the answer to CAPA */
    enum relay_refusal refusal;
    const char *fault;      /* static text */
};

enum { RELAY_LINE_LIMIT = 2048 };   /* octets; RFC 2449 section 4 allows 512 */

void relay_talk_begin(struct relay_talk *talk, bool stls, bool xclient);
/* After RELAY_BEGIN_TLS: what is said first, by TLS. */
enum relay_next relay_talk_secured(struct relay_talk *talk);
/* As line_next() told it, but LINE_MORE. */
enum relay_next relay_talk_line(struct relay_talk *talk, enum line_kind kind, struct span line);

#endif
