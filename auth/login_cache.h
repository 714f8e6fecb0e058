/*
 * login_cache.h - passwords that were verified already, so that the next poll
 * does not cost another Argon2.
 *
 * An entry is a keyed hash over the given password and what it was verified
 * against: the stored secret itself, just fetched, or a mailbox and its number
 * `proof`, which changes with everything that the login depends on. A login that
 * is found by the number alone is unconfirmed until open_maildrop() has compared
 * it (account.h). An entry cannot be turned back into a password, and only
 * successes are kept.
 *
 * All auth helpers of a host share the memory: a password that one has verified
 * is known to the others, and to those started by a reload or an upgrade. It has
 * no lock: when two write into the same set at once, an entry is lost or stored
 * twice, and a digest that is half written matches nothing.
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
 * of its own; closed on exec. For helpers only: a process that has it can claim
 * that any password was verified. -1 with errno.
 */
int login_cache_memory(size_t entries);
/* Is it such memory, for as many? */
bool login_cache_fits(int fd, size_t entries);

/* fd is closed. -1, or what cannot be mapped: nothing is ever found. */
struct login_cache *login_cache_new(int fd);
/* The memory that others use stays. */
void login_cache_free(struct login_cache **cache);

/* Was this password verified against this stored secret? */
bool login_cache_has(struct login_cache *cache, struct span stored, struct span password);
/* It was. Replaces the least recently used entry of its set. */
void login_cache_add(struct login_cache *cache, struct span stored, struct span password);

/* The same for a password that is valid as long as the mailbox has this `proof`, which is not 0. */
bool login_cache_has_proof(struct login_cache *cache, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password);
void login_cache_add_proof(struct login_cache *cache, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password);

#endif
