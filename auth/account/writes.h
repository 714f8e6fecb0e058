/*
 * writes.h - what a login leaves to write, and what is asked for that: one
 * statement for all that has gathered. One that fails as a whole is sent again
 * for each of them, so that an error stays with its own.
 */
#ifndef POSTERN_AUTH_WRITES_H
#define POSTERN_AUTH_WRITES_H

#include <stddef.h>

#include "auth/account/credentials.h"

/* Each blocks; what fails is logged, and nobody is told. */

/* One failure more of each of these names, which may be in it twice. */
void writes_count_failures(struct credentials_source *source, const char *const *addresses, size_t n,
                           int64_t interval_ms, int64_t most);
/* Mailbox i was logged in to from network i. */
void writes_remember(struct credentials_source *source, const struct mailbox_ref *mailboxes,
                     const char *const *networks, size_t n);
/* The app password of mailbox i with label i was used. */
void writes_app_used(struct credentials_source *source, const struct mailbox_ref *mailboxes,
                     const char *const *labels, size_t n);
/* For each mailbox a bit (1 << kind) for each that its domain wants stored and that is not there. */
void writes_missing(struct credentials_source *source, const struct mailbox_ref *mailboxes, size_t n,
                    unsigned *missing_r);

/*
 * For one mailbox: a better form of a stored secret, if it is still the same; a kind that was
 * missing, if `verified` is still the password that is stored.
 */
void writes_upgrade(struct credentials_source *source, const struct mailbox_ref *mailbox,
                    enum credential_kind kind, const char *label, const char *old, const char *better);
void writes_add(struct credentials_source *source, const struct mailbox_ref *mailbox, const char *verified,
                enum credential_kind kind, const char *secret);
/* An old server has accepted the password that this was made of; old: what was stored before, NULL for nothing. */
void writes_learn(struct credentials_source *source, const struct mailbox_ref *mailbox, const char *old,
                  const char *secret);

#endif
