/*
 * sasl.h - one exchange, for auth/exchange.c and auth/sasl_*.c only.
 *
 * A mechanism's functions get a message and fill the answer: with a challenge
 * (len and challenge, and they return true), or with a verdict.
 */
#ifndef POSTERN_AUTH_SASL_H
#define POSTERN_AUTH_SASL_H

#include <gsasl.h>
#include <sys/queue.h>

#include "auth/exchange.h"

struct exchange {
    TAILQ_ENTRY(exchange) by_age;
    struct accounts *accounts;
    const struct auth_settings *settings;
    uint64_t id;                        /* what the worker calls it by */
    uint64_t request;
    int64_t opened;                     /* when, ms */
    enum mechanism mechanism;
    char session[FRAME_SESSION_MAX + 1];
    char *domain;                       /* the default one */
    char network[FRAME_NETWORK_MAX];
    struct auth_origin origin;          /* its text is in `network` */
    char *name;                         /* as it was typed, NULL before it was given; LOGIN lives by it, others for the log */
    Gsasl_session *gsasl;               /* of those that the library does */
    bool looked_up;                     /* and then `verdict` says what will be answered, of SCRAM and CRAM-MD5 to the right proof */
    bool proven;                        /* only the client's last, empty message is to come (RFC 5034 section 4) */
    struct account_verdict verdict;
};

/* exchange.c */
void exchange_refuse(struct account_verdict *v, const char *reason);
/* Of which SASLprep changes nothing. */
bool exchange_is_ascii(struct span text);
/* To log in as somebody else is allowed to nobody: an authorization identity is empty, or means the same mailbox. */
void exchange_authorize(struct account_verdict *v, struct span authzid, struct span domain);

/* sasl_plain.c: what needs no library. The verdict comes at once. */
void exchange_plain(struct accounts *accounts, const struct auth_opening *opening, struct account_verdict *v);
void exchange_external(struct accounts *accounts, const struct auth_opening *opening, struct account_verdict *v);
void exchange_apop(struct accounts *accounts, const struct auth_opening *opening, struct account_verdict *v);
bool exchange_login(struct exchange *x, struct span message, bool has_message, struct exchange_answer *out);

/* sasl_oauth.c */
bool exchange_oauth(struct exchange *x, struct span message, struct exchange_answer *out);

/* sasl_gsasl.c */
Gsasl *exchange_gsasl_new(void);
/* False where the library has no such mechanism, or there is no memory. */
bool exchange_gsasl_open(Gsasl *library, struct exchange *x, const struct auth_opening *opening);
void exchange_gsasl_close(struct exchange *x);
bool exchange_gsasl_step(struct exchange *x, struct span message, struct exchange_answer *out);

#endif
