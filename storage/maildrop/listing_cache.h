/*
 * listing_cache.h - the listings of maildrops between two sessions.
 *
 * Bounded by octets; what was not used for the longest time goes. A listing
 * that a session still holds lives on. Whether one is still true is not known
 * here: postern.open_maildrop() compares its state.
 */
#ifndef POSTERN_STORAGE_LISTING_CACHE_H
#define POSTERN_STORAGE_LISTING_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"

struct listing;
struct listing_cache;

struct listing_cache *listing_cache_new(size_t octets);
void listing_cache_free(struct listing_cache **cache);
/* A reference for the caller, or NULL. Listings of another server than this one (pg_server()) are forgotten. */
struct listing *listing_cache_get(struct listing_cache *cache, const struct mailbox_ref *mailbox, uint64_t server);
/* In place of what was there; takes a reference of its own. */
void listing_cache_put(struct listing_cache *cache, const struct mailbox_ref *mailbox, uint64_t server,
                       struct listing *l);
/* What is kept of this one is wrong. */
void listing_cache_forget(struct listing_cache *cache, const struct mailbox_ref *mailbox);
/* Octets in use, the table of the cache itself counted. */
size_t listing_cache_octets(const struct listing_cache *cache);

#endif
