/*
 * sasl.h - one exchange (RFC 4422), as its mechanism sees it: for auth/sasl_*.c,
 * and for exchange.c, which calls them by the table in mechanism.h.
 */
#ifndef POSTERN_AUTH_SASL_H
#define POSTERN_AUTH_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/frame.h"
#include "auth/login.h"
#include "auth/account/verdict.h"

struct accounts;
struct auth_settings;

struct sasl_challenge {
    size_t len;
    char octets[AUTH_CHALLENGE_MAX];
};

struct exchange {
    enum mechanism mechanism;
    struct accounts *accounts;
    const struct auth_settings *settings;
    char *domain;                       /* the default one */
    char network[FRAME_NETWORK_MAX];
    struct auth_origin origin;          /* its text is in `network` */
    char *name;                         /* as it was typed, for the log; NULL before it was given */
    void *own;                          /* the mechanism's, NULL at the start */
    struct account_verdict verdict;     /* AUTH_UNAVAILABLE at the start */
};

/* Keeps the name that the message has, if none is known yet: mechanism_name() of it. */
void sasl_note_name(struct exchange *exchange, struct span message);
/* True, with this text (AUTH_CHALLENGE_MAX octets at most) as the challenge. */
bool sasl_challenge(struct sasl_challenge *out, struct span text);
/* For a row's `name`: what is before the last space. */
bool sasl_name_before_space(struct span message, struct span *name_r);

#endif
