/*
 * stored.h - what is stored of a mailbox to verify its owner: kinds of secrets,
 * and all that a login is told.
 */
#ifndef POSTERN_AUTH_STORED_H
#define POSTERN_AUTH_STORED_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/elsewhere.h"
#include "auth/login.h"
#include "auth/name.h"
#include "auth/scheme/scheme.h"
#include "auth/scheme/seal.h"
#include "daemon/base/mailbox_ref.h"

enum { CREDENTIALS_SECRETS_MAX = 24 };  /* of one mailbox: a password, 16 app passwords, and what else is stored */

/* What a stored secret is good for; postern.credential.kind. */
enum credential_kind {
    CREDENTIAL_PASSWORD, CREDENTIAL_APP_PASSWORD,       /* scheme.h: a password can be verified against it */
    /* "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>" */
    CREDENTIAL_SCRAM_SHA_256, CREDENTIAL_SCRAM_SHA_1,
    CREDENTIAL_SHARED_SECRET,                           /* the secret itself */
    CREDENTIAL_CERTIFICATE,                             /* any text: the mailbox accepts certificates (EXTERNAL) */
    CREDENTIAL_KINDS,                                   /* how many there are; none itself */
};
/* As the database calls it. */
const char *credential_kind_name(enum credential_kind kind);

struct credentials {
    struct mailbox_ref mailbox;
    bool active;                        /* the mailbox, its domain and its tenant are enabled */
    char address[NAME_ADDRESS_MAX + 1];         /* as stored */
    char maintenance[AUTH_MAINTENANCE_MAX + 1];
    struct auth_policy policy;          /* its text is in `maintenance` */
    struct mailbox_versions versions;   /* with which this login may be cached; its proof is 0 where it may not */
    /* where it still is, a text that elsewhere_parse() takes, or empty: here. Then `mailbox` may be none */
    char elsewhere[ELSEWHERE_MAX + 1];
    bool known, known_today;            /* it was logged in to from this network; and that is written down for today */
    size_t count;                       /* of secrets; of other kinds than these they are passed over */
    struct {
        char kind;                      /* enum credential_kind */
        bool sealed;                    /* with the first key */
        char label[SEAL_LABEL_MAX + 1];
        /* without its seal; empty: one that cannot be opened, or is too long for any scheme */
        char text[SCHEME_TEXT_MAX];
        char stored[SEAL_TEXT_MAX];     /* as it stands in the database */
    } secrets[CREDENTIALS_SECRETS_MAX];
};

#endif
