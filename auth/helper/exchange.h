/*
 * exchange.h - SASL exchanges (RFC 4422), and APOP, in the auth helper: from a
 * client's messages to challenges and, at the end, a verdict.
 *
 * An exchange that waits for its client costs memory only, and that is bounded:
 * when there are too many, the one that has waited longest is forgotten.
 */
#ifndef POSTERN_AUTH_EXCHANGE_H
#define POSTERN_AUTH_EXCHANGE_H

#include "auth/frame.h"
#include "auth/sasl/sasl.h"
#include "auth/account/verdict.h"

struct accounts;
struct exchanges;

enum { EXCHANGE_TYPED_MAX = 256 };     /* more a log line does not show */

struct exchange_answer {
    uint64_t exchange;              /* not 0: a challenge, and this is its name; else the verdict */
    enum mechanism mechanism;
    char session[FRAME_SESSION_MAX + 1];
    /* the verdict's: the name as it was typed, for the log; empty if it is not known */
    char typed[EXCHANGE_TYPED_MAX + 1];
    struct account_verdict verdict;
    uint32_t lane;                  /* as it was opened for: for the ticket */
    struct sasl_challenge challenge;
};

/* Both outlive it. served: a set of MECH_BIT(); exchanges of all others are refused. */
struct exchanges *exchanges_new(struct accounts *accounts, const struct auth_settings *settings, unsigned served);
void exchanges_free(struct exchanges **exchanges);

/* All three block as account_check() does. id is that of the worker's request; another one's exchange is not there. */
void exchange_start(struct exchanges *exchanges, uint64_t id, const struct auth_opening *opening,
                    struct exchange_answer *out);
void exchange_respond(struct exchanges *exchanges, const struct auth_step *step, struct exchange_answer *out);
void exchange_abort(struct exchanges *exchanges, const struct auth_step *step, struct exchange_answer *out);

#endif
