/*
 * piece_set.h - one answer of postern.fetch_parts() or fetch_headers(), cut into
 * the octets of its messages, without a copy where the parts are plain. Coded ones are
 * decoded here, at once.
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

/* What was asked for of each message: its parts first .. first + parts - 1. */
struct piece_range {
    uint32_t first, parts;
    bool begins;            /* with its Delivered-To line, if it has one: none of the message was read before */
    uint64_t skip;          /* octets of these parts that are not wanted: they were read before */
    uint64_t most;          /* of octets that have to be decoded so many are enough */
};

/* One message of it, as far as this answer has it. */
struct piece_part {
    const struct span *spans;
    size_t count;           /* of spans: none if it has no octets */
    uint64_t octets;
    uint64_t line;          /* of them in the Delivered-To line */
    uint32_t next;          /* the part to go on with, and how many of its octets to skip */
    uint64_t next_skip;
    bool cut;               /* there is more to be had of the segment that begins there, which is coded */
    bool found;
    bool broken;            /* its parts are not dense, or one of them cannot be decoded */
};

/* Message k of those that were asked for: their uids rise; octets that are left of it are as many at most. */
struct piece_message {
    int64_t uid;
    uint64_t octets;
};
typedef struct piece_message piece_asked(const void *asked, size_t k);

/*
 * res, which is taken over in any case, is the answer for this range of `count`
 * messages, which asked_of(asked, k) tells within the call. The set has one
 * reference, the caller's. NULL if there are rows of other messages.
 *
 * No part but the last one of the range is that of a coded segment which goes on behind
 * it, unless the range is to end early (cut). A range that begins within a coded
 * segment is broken: one does that was read on while it was recoded.
 */
struct piece_set *piece_set_new(PGresult *res, piece_asked *asked_of, const void *asked, size_t count,
                                const struct piece_range *range);
const struct piece_part *piece_set_part(const struct piece_set *set, size_t k);
/* Memory of all sets of this process that are held, those of sessions that have gone too, in octets. */
size_t piece_octets(void);
/* The set as what the receiver of a piece holds; adds no reference. */
struct piece_ref *piece_set_ref(struct piece_set *set);

#endif
