/*
 * credentials.h - the secrets stored in the database to verify the
 * owner of an address: one statement for each question.
 */
#ifndef POSTERN_AUTH_CREDENTIALS_H
#define POSTERN_AUTH_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/login.h"
#include "auth/name.h"
#include "auth/scheme/scheme.h"
#include "auth/scheme/seal.h"
#include "auth/ticket.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/sql.h"

struct credentials_source;

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

enum credentials_answer {
    CREDENTIALS_FOUND = 1,
    CREDENTIALS_NONE = 0,       /* no such address */
    CREDENTIALS_AWAY = -1,      /* the database cannot tell now */
    CREDENTIALS_BROKEN = -2,    /* an operator has to act: wrong schema, a function or a right that is missing */
    CREDENTIALS_UNUSABLE = -3,  /* the same, for this name alone: its rows are not those of one mailbox (logged) */
};

/*
 * conninfo is copied. A statement, and the wait for one, ends after
 * statement_ms. keyring, which may be NULL, opens seals and outlives the
 * source. policies: of how many addresses it remembers the policy (policies.h). Connects when first asked.
 */
struct credentials_source *credentials_source_new(const char *conninfo, int schema_version, int64_t statement_ms,
                                                  enum sql_commit commit, const struct keyring *keyring,
                                                  size_t policies);
void credentials_source_free(struct credentials_source **source);

/*
 * Connects if it is not connected, so that the first login need not wait for it, and reads the key
 * of the decoys; logs if the database is away. CREDENTIALS_FOUND: there is a connection, and the
 * decoys have a key.
 */
enum credentials_answer credentials_source_connect(struct credentials_source *source);

/*
 * Blocks. out is filled for CREDENTIALS_FOUND; the caller wipes it. Why it
 * could not tell is logged. network (a text that is an inet to PostgreSQL) may
 * be empty: then nobody asks for failures. *guessed_ms_r is the time until the
 * last failure of this address is forgotten, 0 where there is none; it is told
 * for an address that does not exist, too.
 * Where the policy was told before, only the secrets are asked for, which is a
 * third of the work; with `whole`, where the login may be cached, all of it, and
 * out->versions is told.
 */
enum credentials_answer credentials_fetch(struct credentials_source *source, const char *address, const char *network,
                                          bool whole, struct credentials *out, int64_t *guessed_ms_r);
/*
 * Does not ask. What was told at a login of this address from this network
 * today, if that login may be found in the cache; else NULL. Valid until the next
 * credentials_fetch().
 */
const struct policy_entry *credentials_recent(const struct credentials_source *source, const char *address,
                                              const char *network);

/*
 * Blocks. The key that tickets are made with now, and the database's time in
 * milliseconds since 1970. False: it could not be told (logged). The caller wipes it.
 */
bool credentials_ticket_key(struct credentials_source *source, unsigned char key_r[TICKET_KEY], int64_t *now_ms_r);
/* The number of the connection to the database that is there, or was there last. */
uint64_t credentials_connection(const struct credentials_source *source);

/* Blocks. Writes one failure more down; where the database is away nobody is told. */
void credentials_count_failure(struct credentials_source *source, const char *address, int64_t interval_ms,
                               int64_t most);
/* The same for: this mailbox was logged in to from there. */
void credentials_remember(struct credentials_source *source, const struct mailbox_ref *mailbox, const char *network);

/*
 * What the login of a moment ago leaves to write; each blocks for one
 * statement, and what fails is logged. A better form of a stored secret, if it
 * is still the same; a kind that was missing, if `verified` is still the password
 * that is stored; that an app password was used.
 */
void credentials_upgrade(struct credentials_source *source, const struct mailbox_ref *mailbox,
                         enum credential_kind kind, const char *label, const char *old, const char *better);
void credentials_add(struct credentials_source *source, const struct mailbox_ref *mailbox, const char *verified,
                     enum credential_kind kind, const char *secret);
void credentials_app_used(struct credentials_source *source, const struct mailbox_ref *mailbox, const char *label);
/* A bit (1 << kind) for each that the mailbox's domain wants stored and that is not there. */
unsigned credentials_missing(struct credentials_source *source, const struct mailbox_ref *mailbox);

#endif
