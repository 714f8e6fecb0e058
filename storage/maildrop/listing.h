/*
 * listing.h - what was in a maildrop at one moment: never changed, shared by
 * reference.
 *
 * A maildrop of 20,000 messages takes 160 KB as long as uids lie within 4 G of
 * each other and no message has 4 GiB; twice that otherwise.
 */
#ifndef POSTERN_STORAGE_LISTING_H
#define POSTERN_STORAGE_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"
#include "storage/maildrop/uidl.h"

struct listing;

/* What the database says about the moment; equal states have equal messages. */
struct listing_state {
    int64_t uidvalidity, next_uid, expunges;
};

/*
 * The three arrays of postern.open_maildrop(), in PostgreSQL's binary form,
 * each at NULL where it was null, behind the messages of `before` (or none,
 * where it is NULL). Returns NULL, and why in *error_r, if they are not what
 * was declared: of unequal length, not rising, out of range.
 */
struct listing *listing_decode(const struct listing_state *state, const struct listing *before, struct span uids,
                               struct span octets, struct span uidls, const char **error_r);
/* The same without the messages that have a non-zero mark (one octet each), and with `expunges` one higher. */
struct listing *listing_without(const struct listing *l, const unsigned char *marks);

struct listing *listing_hold(struct listing *l);
void listing_release(struct listing **l);       /* NULL is allowed */

const struct listing_state *listing_state(const struct listing *l);
size_t listing_count(const struct listing *l);
uint64_t listing_octets(const struct listing *l);
int64_t listing_uid(const struct listing *l, size_t i);
uint64_t listing_message_octets(const struct listing *l, size_t i);
size_t listing_uidl(const struct listing *l, size_t i, char out[UIDL_MAX]);     /* 1 to UIDL_MAX octets (uidl.h) */
/* Octets of memory that it takes. */
size_t listing_memory(const struct listing *l);

#endif
