/*
 * codec.h - how octets are coded in the database.
 *
 * The octets of eight parts of a content are a segment. It is stored as those
 * parts, which is CODEC_PLAIN, or coded as a whole and cut into fewer of them. Each
 * row of content_part names its codec, null for a plain one, so that mail of
 * several codecs lies side by side, in one content too, and a new one changes
 * nothing that is there. How one is added: README in this folder.
 *
 * A codec keeps no state between two calls, and what it needs while it works is the
 * process's, once: a session that is in the middle of a message holds none of it.
 */
#ifndef POSTERN_STORAGE_CODEC_H
#define POSTERN_STORAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/span.h"

/* content_part.codec, null where it is plain; a number is never given to another one. */
enum { CODEC_PLAIN = 0, CODEC_ZSTD = 1 };

struct codec {
    int32_t number;
    const char *name;           /* as an operator writes it */
    /* How many octets a segment has, from 1 to SEGMENT_OCTETS, as its first part says; 0: it is damaged. */
    size_t (*octets)(struct span first_part);
    /*
     * The first `size` octets of a segment into room, or as many as these parts of it have: the first one, and
     * those that follow. size is at most what octets() says. whole: there are no others; then there must be
     * `size` octets, and if that is all that the segment has, it must end with these parts. -1: it is damaged.
     */
    ssize_t (*decode)(const struct span *parts, size_t count, bool whole, char *room, size_t size);
    /* A segment into room; how long it became, or 0 where that would be more than size. */
    size_t (*encode)(struct span octets, char *room, size_t size);
};
/* Codecs that are known, CODEC_PLAIN not among them, up to one without a name. */
extern const struct codec codecs[];

/* NULL: it is not known, or CODEC_PLAIN. */
const struct codec *codec_find(int32_t number);
/* The number of the one with this name, "plain" among them. False: there is none. */
bool codec_named(struct span name, int32_t *number_r);

#endif
