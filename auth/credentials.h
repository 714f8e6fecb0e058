/*
 * credentials.h - what the database has stored to prove that somebody is the
 * owner of an address: one statement for each question.
 */
#ifndef POSTERN_AUTH_CREDENTIALS_H
#define POSTERN_AUTH_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/name.h"
#include "auth/scheme.h"

struct credentials_source;

enum { CREDENTIALS_SECRETS_MAX = 8 };   /* of one mailbox: each wrong login verifies all its passwords */

/* What a stored secret is good for; postern.credential.kind. */
enum credential_kind {
    CREDENTIAL_PASSWORD, CREDENTIAL_APP_PASSWORD,       /* scheme.h: a password can be verified against it */
    CREDENTIAL_SCRAM_SHA_256, CREDENTIAL_SCRAM_SHA_1,   /* "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>" */
    CREDENTIAL_SHARED_SECRET,                           /* the secret itself */
};

struct credentials {
    int64_t mailbox;
    bool active;                        /* the mailbox, its domain and its tenant are enabled */
    char address[NAME_ADDRESS_MAX + 1];         /* as stored */
    size_t count;                       /* of secrets; of other kinds than these they are passed over */
    struct {
        char kind;                      /* enum credential_kind */
        char text[SCHEME_TEXT_MAX];     /* empty: one that is too long for any scheme */
    } secrets[CREDENTIALS_SECRETS_MAX];
};

enum credentials_answer {
    CREDENTIALS_FOUND = 1,
    CREDENTIALS_NONE = 0,       /* no such address */
    CREDENTIALS_AWAY = -1,      /* the database cannot tell now */
    CREDENTIALS_BROKEN = -2,    /* an operator has to act: wrong schema, a function or a right that is missing */
};

/* conninfo is copied. A statement, and the wait for one, ends after statement_ms. Connects when first asked. */
struct credentials_source *credentials_source_new(const char *conninfo, int schema_version, int64_t statement_ms);
void credentials_source_free(struct credentials_source **source);

/* Connects if it is not, so that the first login need not wait for it; a database that is away is logged. */
void credentials_source_connect(struct credentials_source *source);

/* Blocks. out is filled for CREDENTIALS_FOUND; the caller wipes it. Why it could not tell is logged. */
enum credentials_answer credentials_fetch(struct credentials_source *source, const char *address, struct credentials *out);

#endif
