/*
 * mechanism.h - the names by which a client can log in beside USER and PASS:
 * SASL mechanisms (RFC 5034), and APOP. What worker and helper both know of
 * them. Pure.
 */
#ifndef POSTERN_AUTH_MECHANISM_H
#define POSTERN_AUTH_MECHANISM_H

#include <stdbool.h>

#include "daemon/base/span.h"

/* The strongest first: this is the order in which clients see them, and some take the first that they know. */
enum mechanism {
    MECH_SCRAM_SHA_256_PLUS, MECH_SCRAM_SHA_256, MECH_SCRAM_SHA_1_PLUS, MECH_SCRAM_SHA_1,
    MECH_EXTERNAL, MECH_CRAM_MD5, MECH_OAUTHBEARER, MECH_XOAUTH2, MECH_PLAIN, MECH_LOGIN,
    MECH_APOP,      /* no SASL mechanism, and in no list of them */
    MECHANISMS,
};

/* A set of them. */
#define MECH_BIT(mechanism) (1u << (mechanism))

enum {
    MECH_SENDS_PASSWORD = 1,    /* whoever reads the dialogue knows the password */
    MECH_SERVER_FIRST = 2,      /* begins with a challenge that is not empty */
    MECH_NO_INITIAL = 4,        /* of those: takes no initial response (RFC 5034 section 4) */
    MECH_BINDS = 8,             /* to the TLS channel (RFC 5802 section 6) */
};

struct mechanism_info {
    const char *name;
    unsigned flags;
};
extern const struct mechanism_info mechanisms[MECHANISMS];

/* In any case (RFC 5034 section 5). False if there is none of that name. */
bool mechanism_find(struct span name, enum mechanism *mechanism_r);

/* A list of names (daemon/base/list.h). False if one is unknown or there twice: then it is *wrong_r. */
bool mechanisms_parse(const char *text, unsigned *set_r, struct span *wrong_r);

/*
 * Whose login is it, by the first message of a client, which is lent? As it was
 * typed, and verified by nothing: for the log. False, and empty, if it cannot be
 * told from this message. Of LOGIN all of the first message is the name; the
 * second is the password, and must not be given to this.
 */
bool mechanism_name(enum mechanism mechanism, struct span message, struct span *name_r);

#endif
