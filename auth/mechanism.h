/*
 * mechanism.h - the mechanisms by which a client can log in, besides USER and PASS:
 * SASL mechanisms (RFC 5034), and APOP. The table that worker and helper both
 * go by: mechanisms.def.
 */
#ifndef POSTERN_AUTH_MECHANISM_H
#define POSTERN_AUTH_MECHANISM_H

#include <stdbool.h>

#include "daemon/base/metrics.h"
#include "daemon/base/span.h"

enum mechanism {
#define MECHANISM(id, name, flags, metric, how) MECH_##id,
#include "auth/mechanisms.def"
#undef MECHANISM
    MECHANISMS,
};

/* A set of them. */
#define MECH_BIT(mechanism) (1u << (mechanism))

enum {
    MECH_SENDS_PASSWORD = 1,    /* anybody who reads the dialogue knows the password */
    MECH_SERVER_FIRST = 2,      /* begins with a challenge that is not empty */
    MECH_NO_INITIAL = 4,        /* of those: takes no initial response (RFC 5034 section 4) */
    MECH_BINDS = 8,             /* to the TLS channel (RFC 5802 section 6) */
    MECH_TOKEN = 16,            /* shows a token of an OAuth server */
    MECH_CERTIFICATE = 32,      /* goes by what the client's certificate proves */
    /* no SASL mechanism, but a command of its own, which answers to the greeting's timestamp */
    MECH_TIMESTAMP = 64,
    /* USER and PASS as an exchange: the worker asks for both, and then a helper, as PASS does */
    MECH_AS_PASS = 128,
};

struct auth_opening;
struct exchange;
struct sasl_challenge;

/*
 * What a mechanism does. `name` is mechanism_name() of it, NULL where no message
 * has a name. The others are for the helper, which never sees a MECH_AS_PASS as a
 * mechanism, so there they are NULL; what they get is in sasl.h:
 * start and step return true with a challenge in *out, or false with the verdict
 * in exchange->verdict; step is NULL where there never is a challenge. end frees
 * what is in exchange->own; NULL where that is nothing.
 */
struct mechanism_how {
    bool (*name)(struct span message, struct span *name_r);
    bool (*start)(struct exchange *exchange, const struct auth_opening *opening, struct sasl_challenge *out);
    bool (*step)(struct exchange *exchange, struct span message, struct sasl_challenge *out);
    void (*end)(struct exchange *exchange);
    /* mechanism_password() of it; NULL where no message has one that means anything to another server. */
    bool (*password)(struct span message, struct span *password_r);
};
#define MECHANISM(id, name, flags, metric, how) extern const struct mechanism_how how;
#include "auth/mechanisms.def"
#undef MECHANISM

struct mechanism_info {
    const char *name;
    unsigned flags;
    enum metric metric;
    const struct mechanism_how *how;
};
extern const struct mechanism_info mechanisms[MECHANISMS];
/* Their names in the same order, NULL behind the last: the words of sasl_mechanisms, which is a set of MECH_BIT(). */
extern const char *const mechanism_names[MECHANISMS + 1];

/* In any case (RFC 5034 section 5). False if there is none of that name. */
bool mechanism_find(struct span name, enum mechanism *mechanism_r);

/* The set of those that have the flag. */
unsigned mechanisms_with(unsigned flag);

/* This one bound to the TLS channel: its name with "-PLUS" (RFC 5801 section 4). MECHANISMS if there is none. */
enum mechanism mechanism_plus(enum mechanism mechanism);

/*
 * Whose login is it, by the first message of a client, which is lent? As it was
 * typed, and verified by nothing: for the log. False, and empty, if it cannot be
 * told from this message. Of LOGIN all of the first message is the name; the
 * second is the password, and must not be given to this.
 */
bool mechanism_name(enum mechanism mechanism, struct span message, struct span *name_r);
/* The password that the first message of a client has; false if there is none. Lent. */
bool mechanism_password(enum mechanism mechanism, struct span message, struct span *password_r);

#endif
