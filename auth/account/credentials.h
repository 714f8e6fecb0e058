/*
 * credentials.h - the secrets stored in the database to verify the
 * owner of an address: one statement for each question.
 */
#ifndef POSTERN_AUTH_CREDENTIALS_H
#define POSTERN_AUTH_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/account/stored.h"
#include "auth/ticket.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/sql.h"

struct auth_db;
struct credentials_source;
struct keyring;
struct login_cache;
struct policy_entry;

enum credentials_answer {
    CREDENTIALS_FOUND = 1,
    CREDENTIALS_NONE = 0,       /* no such address */
    CREDENTIALS_AWAY = -1,      /* the database cannot tell now */
    CREDENTIALS_BROKEN = -2,    /* an operator has to act: wrong schema, a function or a right that is missing */
    CREDENTIALS_UNUSABLE = -3,  /* the same, for this name alone: its rows are not those of one mailbox (logged) */
};

/*
 * conninfo is copied. A statement, and the wait for one, ends after
 * statement_ms. keyring, which may be NULL, opens seals; it and the cache, which
 * has the policies (policies.h), outlive the source. one_login: it is not worth
 * while to prepare anything. Connects when first asked.
 */
struct credentials_source *credentials_source_new(const char *conninfo, int schema_version, int64_t statement_ms,
                                                  enum sql_commit commit, const struct keyring *keyring,
                                                  const struct login_cache *cache, bool one_login);
void credentials_source_free(struct credentials_source **source);

/*
 * Connects if it is not connected, so that the first login need not wait for it, and reads the key
 * of the decoys where they are needed; logs if the database is away. CREDENTIALS_FOUND: there is a
 * connection, and the decoys have a key if they are needed.
 */
enum credentials_answer credentials_source_connect(struct credentials_source *source);
/* From now on they are needed: by who shows something of a name before it has proved anything. */
void credentials_source_decoys(struct credentials_source *source);

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
 * Blocks: asks for so many logins at once. What credentials_fetch() is asked for
 * afterwards with one of these addresses from its network is then there, until
 * credentials_forget_ahead(), and so long the questions are lent; what could not be asked for together it asks for as
 * ever, so that an error is that of one login. False: the database took too long
 * over them, and whoever asks one by one should not have to wait for the others.
 */
enum { CREDENTIALS_AHEAD_MAX = 32 };
struct credentials_question {
    const char *address, *network;      /* as for credentials_fetch() */
};
bool credentials_look_ahead(struct credentials_source *source, const struct credentials_question *questions,
                            size_t n, bool whole);
void credentials_forget_ahead(struct credentials_source *source);
/*
 * Does not ask. What was told at a login of this address from this network
 * within a day, if that login may be found in the cache; else false.
 */
bool credentials_recent(const struct credentials_source *source, const char *address, const char *network,
                        struct policy_entry *entry_r);

/*
 * Blocks. The key that tickets are made with now, and the database's time in
 * milliseconds since 1970. False: it could not be told (logged). The caller wipes it.
 */
bool credentials_ticket_key(struct credentials_source *source, unsigned char key_r[TICKET_KEY], int64_t *now_ms_r);
/* The number of the connection to the database that is there, or was there last. */
uint64_t credentials_connection(const struct credentials_source *source);
/* Its connection to the database, for writes.c. */
struct auth_db *credentials_db(struct credentials_source *source);

#endif
