/*
 * login_cache.h - the memory that all auth helpers of a host share, so that the
 * next poll costs neither an Argon2 nor a question to the database: passwords that
 * were verified already, and what a login was told of its mailbox and policy.
 *
 * A password is a keyed hash over it and what it was verified against: the stored
 * secret itself, just fetched, or a mailbox and its number `proof`, which changes with
 * everything that the login depends on. A login that is found by the number alone is
 * unconfirmed until open_maildrop() has compared it (account.h). A hash cannot be
 * turned back into a password, and only successes are kept.
 *
 * What one helper has put there is known to the others, and to those started by a
 * reload or an upgrade. There is no lock: slots.h says what becomes of an entry that
 * was half written.
 */
#ifndef POSTERN_AUTH_LOGIN_CACHE_H
#define POSTERN_AUTH_LOGIN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

struct login_cache;

/* The smallest there is, in octets, for eight passwords; and what a password and a policy take together. */
enum { LOGIN_CACHE_LEAST = 8192, LOGIN_CACHE_EACH = 120 };

/*
 * A descriptor of memory of so many octets (LOGIN_CACHE_LEAST at least), half of whose
 * entries are for passwords and half for policies, with keys of its own; closed on exec. For helpers only:
 * a process that has it can claim that any password was verified. -1 with errno.
 */
int login_cache_memory(size_t octets);
/* Is it such memory, of as many, and as this program lays it out? */
bool login_cache_fits(int fd, size_t octets);

/* fd is closed. -1, or what cannot be mapped: nothing is ever found. */
struct login_cache *login_cache_new(int fd);
/* The memory that others use stays. */
void login_cache_free(struct login_cache **cache);
/*
 * Policies are found only by helpers that have said the same here, or nothing: what a
 * login depends on that is not in the database, and may be another after a reload.
 */
void login_cache_depend(struct login_cache *cache, struct span on);
/* False: nothing is ever found. */
bool login_cache_is_on(const struct login_cache *cache);

/* Was this password verified against this stored secret? */
bool login_cache_has(const struct login_cache *cache, struct span stored, struct span password);
/* It was. */
void login_cache_add(const struct login_cache *cache, struct span stored, struct span password);

/* The same for a password that is valid as long as the mailbox has this `proof`, which is not 0. */
bool login_cache_has_proof(const struct login_cache *cache, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password);
void login_cache_add_proof(const struct login_cache *cache, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password);

/* For policies.c: what is kept of an address and the network of its client, until it is older than idle_s. */
enum { LOGIN_CACHE_POLICY_WORDS = 9, LOGIN_CACHE_IDLE_S = 86400 };
bool login_cache_get_policy(const struct login_cache *cache, struct span address, struct span network, uint32_t now_s,
                            uint64_t words_r[LOGIN_CACHE_POLICY_WORDS]);
void login_cache_put_policy(const struct login_cache *cache, struct span address, struct span network, uint32_t now_s,
                            const uint64_t words[LOGIN_CACHE_POLICY_WORDS]);
/* The version of the policies that a helper was told last, 0 before that; whoever is told it says so. */
int64_t login_cache_version(const struct login_cache *cache);
void login_cache_set_version(const struct login_cache *cache, int64_t version);

#endif
