/*
 * content.h - the stored form of a message, in numbers: how its octets are cut
 * into parts, what the database is given of them, and the digest that they are
 * known by. README in this folder says what the form is.
 *
 * Whoever stores, sends or checks mail counts with this and with nothing of
 * their own. postern.part_octets(), segment_parts() and digest_octets() are the same
 * numbers for the functions of the schema (sql/schema/05_content.sql).
 */
#ifndef POSTERN_STORAGE_CONTENT_H
#define POSTERN_STORAGE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "daemon/base/span.h"

enum {
    PART_OCTETS = 8000,     /* in each part of a content but its last one, which is not longer */
    SEGMENT_PARTS = 8,      /* that are coded together, where they are */
    SEGMENT_OCTETS = SEGMENT_PARTS * PART_OCTETS,
    CONTENT_DIGEST = 32,    /* BLAKE2b-256 of the octets of a content */
};

/* As many of these octets as fill whole segments. */
size_t content_whole(size_t octets);
/* The number of the part, from 0, that begins at this offset: a multiple of PART_OCTETS, in a content of any size. */
int32_t content_part_at(uint64_t offset);

/* ---- the digest */

struct content_hash {
    crypto_generichash_state state;
};
void content_hash_begin(struct content_hash *hash);
void content_hash_add(struct content_hash *hash, struct span octets);
/* Once, after the last octet. */
void content_hash_end(struct content_hash *hash, unsigned char digest_r[CONTENT_DIGEST]);
/* All of it at once. */
void content_digest(struct span octets, unsigned char digest_r[CONTENT_DIGEST]);

#endif
