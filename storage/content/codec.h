/*
 * codec.h - how a part is coded in the database: today all of them are plain.
 *
 * Each row of content_part names its codec, null for the octets as they are, so
 * that mail of several codecs lies side by side and a new one changes nothing
 * that is there. Everything that reads parts comes through codec_decode(). How
 * one is added: README in this folder.
 */
#ifndef POSTERN_STORAGE_CODEC_H
#define POSTERN_STORAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/span.h"

enum { CODEC_PLAIN = 0 };       /* null in the database */

struct codec {
    int32_t number;             /* content_part.codec; never given to another one */
    const char *name;
    /* The octets of a part, at most PART_OCTETS, into room, which has space for as many. -1: it is damaged. */
    ssize_t (*decode)(struct span stored, char *room);
};
/* Codecs that are known, CODEC_PLAIN not among them, up to one without a name. */
extern const struct codec codecs[];

/*
 * What a part holds. A plain one is `stored` itself; others are decoded into
 * room, which has space for PART_OCTETS and may be NULL for a plain one. False:
 * it is damaged, or has a codec that is not known.
 */
bool codec_decode(int32_t codec, struct span stored, char *room, struct span *octets_r);

#endif
