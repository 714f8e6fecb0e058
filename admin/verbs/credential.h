/*
 * credential.h - what is to be stored of passwords, of one mailbox or of many: in all the
 * forms that their domains store, sealed where there is a key, and in one statement.
 */
#ifndef POSTERN_ADMIN_CREDENTIAL_H
#define POSTERN_ADMIN_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "auth/scheme/seal.h"
#include "daemon/base/buf.h"
#include "daemon/base/mailbox_ref.h"

/* Rows for the table credential; they hold secrets. */
struct credential_rows {
    struct buf mailboxes, kinds, texts;     /* arrays for the database */
    uint32_t count;
};

void credential_begin(struct credential_rows *rows);
/* Wipes them; credential_begin() may follow. */
void credential_wipe(struct credential_rows *rows);

/* Why this text cannot be stored as the hash of a password (static text); NULL: it can. */
const char *credential_hash_fault(const char *hash);
/*
 * A hash that another server made, credential_hash_fault() is NULL: all that is known of the
 * password, and of a SCRAM verifier that for SCRAM, too. keyring may be NULL.
 */
void credential_add_hash(struct credential_rows *rows, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                         const char *hash);
/*
 * A password, in the forms that `stores` has: names of kinds with blanks between them. False with the reason in
 * *error_r (static text): nothing was added.
 */
bool credential_add_password(struct credential_rows *rows, struct ctl *c, const struct keyring *keyring,
                             const struct mailbox_ref *mailbox, const char *stores, struct span password,
                             const char **error_r);

/* Replaces the passwords of the mailboxes that have rows, all or none, in all their forms. */
enum ctl_exit credential_store(struct ctl *c, struct credential_rows *rows);

/*
 * CTL_DONE, or the error was said: a provider's own credentials() (sql/README) proves logins with
 * secrets that are kept elsewhere, and whoever has set one here must not believe that it is good.
 * "the WHAT of ADDRESS is DONE here, but ..."
 */
enum ctl_exit credential_is_proven_with(struct ctl *c, const struct mailbox_ref *mailbox, const char *what,
                                        const char *address, const char *done);

#endif
