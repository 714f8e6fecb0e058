/*
 * login_cache.h - passwords that were verified already, so that the next poll
 * does not cost another Argon2.
 *
 * What is kept is a keyed hash over what the password was verified against and
 * the given password. That is the stored secret itself, fetched just now, or a
 * mailbox and its number `proof`, which changes with all that the login hangs on:
 * a login that is found by the number alone is unconfirmed until open_maildrop()
 * has compared it (account.h). There is no way back from an entry, and only
 * successes are kept.
 *
 * It is memory of all auth helpers of a host: a password that one has verified
 * is known to the others, and to those that come after a reload or an upgrade.
 * It has no lock: what two write at once into the same set is lost, or there
 * twice, and half of a digest is none.
 */
#ifndef POSTERN_AUTH_PROVEN_H
#define POSTERN_AUTH_PROVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

struct login_cache;

/*
 * A descriptor of memory for `entries`, rounded up to a multiple of 4, with a key
 * of its own; closed on exec. For helpers and nobody else: who has it can say
 * that any password was verified. -1 with errno.
 */
int login_cache_memory(size_t entries);
/* Is it such memory, for as many? */
bool login_cache_fits(int fd, size_t entries);

/* fd is closed. -1, or what cannot be mapped: nothing is ever found. */
struct login_cache *login_cache_new(int fd);
/* What others use stays. */
void login_cache_free(struct login_cache **cache);

/* Was this password verified against this stored secret? */
bool login_cache_has(struct login_cache *cache, struct span stored, struct span password);
/* It was. The one of its set that was asked for longest ago makes room. */
void login_cache_add(struct login_cache *cache, struct span stored, struct span password);

/* The same, where what it was verified against is the mailbox's as long as its number is `proof`, which is not 0. */
bool login_cache_has_proof(struct login_cache *cache, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password);
void login_cache_add_proof(struct login_cache *cache, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password);

#endif
