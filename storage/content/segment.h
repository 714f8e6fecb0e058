/*
 * segment.h - the parts of a coded segment, one after the other as the database
 * has them, and what they hold.
 */
#ifndef POSTERN_STORAGE_SEGMENT_H
#define POSTERN_STORAGE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/span.h"
#include "storage/content/content.h"

struct segment {
    int32_t codec;              /* CODEC_PLAIN: none was begun */
    uint32_t first;             /* the number of its first part */
    size_t count;
    struct span parts[SEGMENT_PARTS];   /* lent */
};

/* False: no segment that is coded so begins with a part of this number. */
bool segment_begin(struct segment *s, uint32_t part, int32_t codec, struct span stored);
/* False: this is no part of it, or not the next one. */
bool segment_add(struct segment *s, uint32_t part, int32_t codec, struct span stored);
/* How many octets it has, as it says itself; 0: it is damaged. */
size_t segment_octets(const struct segment *s);
/* As struct codec's decode(). */
ssize_t segment_decode(const struct segment *s, bool whole, char *room, size_t size);

#endif
