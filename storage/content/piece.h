/*
 * piece.h - one answer of postern.fetch_parts(), cut into the octets of its
 * messages without a copy.
 */
#ifndef POSTERN_STORAGE_PIECE_H
#define POSTERN_STORAGE_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "storage/maildrop/drop.h"

struct listing;
struct piece_set;

/* One message of it, as far as this answer has it. */
struct piece_part {
    const struct span *spans;
    size_t count;           /* of spans: none if it has no octets */
    uint64_t octets;
    uint32_t rows;          /* parts that the answer has of it; 0 with found: no content */
    bool found;
    bool broken;            /* its parts are not dense */
};

/*
 * res, which is taken over in any case, is the answer for the parts from
 * first_part on of `count` messages of the listing, from `first` on. The set
 * has one reference, the caller's. NULL if there are rows of other messages.
 */
struct piece_set *piece_set_new(PGresult *res, const struct listing *listing, size_t first, size_t count,
                                uint32_t first_part);
const struct piece_part *piece_set_part(const struct piece_set *set, size_t k);
/* Memory of all sets of this process that are held, those of sessions that have gone too, in octets. */
size_t piece_octets(void);
/* The set as what the receiver of a piece holds; adds no reference. */
struct piece_ref *piece_set_ref(struct piece_set *set);

#endif
