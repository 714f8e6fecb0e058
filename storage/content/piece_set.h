/*
 * piece_set.h - one answer of postern.fetch_parts() or fetch_headers(), cut into
 * the octets of its messages, without a copy where the parts are plain.
 *
 * The one reader of messages: what RETR, TOP and an export send comes from here,
 * the Delivered-To line in front of a content too.
 */
#ifndef POSTERN_STORAGE_PIECE_SET_H
#define POSTERN_STORAGE_PIECE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "storage/content/piece.h"

struct piece_set;

/* The columns of the answer, in this order, in binary format. */
#define PIECE_COLUMNS "uid, part, delivered_to, data, codec"

/* One message of it, as far as this answer has it. */
struct piece_part {
    const struct span *spans;
    size_t count;           /* of spans: none if it has no octets */
    uint64_t octets;
    uint32_t rows;          /* parts that the answer has of it; 0 with found: no content */
    bool found;
    bool broken;            /* its parts are not dense, or one of them cannot be decoded */
};

/* The uid of message k of those that were asked for; rising. */
typedef int64_t piece_uid(const void *asked, size_t k);

/*
 * res, which is taken over in any case, is the answer for the parts from
 * first_part on of `count` messages, whose uids uid(asked, k) tells within the
 * call. The set has one reference, the caller's. NULL if there are rows of
 * other messages.
 */
struct piece_set *piece_set_new(PGresult *res, piece_uid *uid, const void *asked, size_t count, uint32_t first_part);
const struct piece_part *piece_set_part(const struct piece_set *set, size_t k);
/* Memory of all sets of this process that are held, those of sessions that have gone too, in octets. */
size_t piece_octets(void);
/* The set as what the receiver of a piece holds; adds no reference. */
struct piece_ref *piece_set_ref(struct piece_set *set);

#endif
