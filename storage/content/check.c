/*
 * check.c - a content, read part by part and compared with its row. Pure.
 */
#include "storage/content/check.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/mem.h"
#include "storage/content/codec.h"
#include "storage/content/segment.h"

/* A coded segment until it is whole: its parts may come in several answers. */
struct content_check_room {
    struct segment segment;
    size_t len;                     /* of stored, that is used */
    char stored[SEGMENT_OCTETS];
    char octets[SEGMENT_OCTETS];
};

void content_check_begin(struct content_check *c, int64_t octets, int64_t stored, struct span digest)
{
    ASSERT(digest.len == CONTENT_DIGEST);
    *c = (struct content_check){ .octets = octets, .stored = stored };
    memcpy(c->digest, digest.at, CONTENT_DIGEST);
    content_hash_begin(&c->hash);
}

/* The first fault counts, but all that can be read is counted. */
static bool is_sound(const struct content_check *c)
{
    return !c->gap && !c->undecoded;
}

static void add(struct content_check *c, struct span octets, uint32_t next_part)
{
    if (is_sound(c))
        c->next_part = next_part;
    c->came += (int64_t)octets.len;
    content_hash_add(&c->hash, octets);
}

/* A copy of what is lent, in the room. NULL: no segment of ours is as long. */
static const char *keep(struct content_check_room *room, struct span stored)
{
    char *at = room->stored + room->len;

    if (stored.len > sizeof room->stored - room->len)
        return NULL;
    memcpy(at, stored.at, stored.len);
    room->len += stored.len;
    return at;
}

static void end_segment(struct content_check *c)
{
    struct content_check_room *room = c->room;

    if (room == NULL || room->segment.codec == CODEC_PLAIN)
        return;
    size_t octets = segment_octets(&room->segment);
    if (octets == 0 || segment_decode(&room->segment, true, room->octets, octets) < 0)
        c->undecoded = c->undecoded || !c->gap;
    else
        add(c, (struct span){ room->octets, octets }, room->segment.first + SEGMENT_PARTS);
    room->segment.codec = CODEC_PLAIN;
    room->len = 0;
}

/* True: it is a further part of the segment that it is at. */
static bool goes_on(struct content_check *c, uint32_t part, int32_t codec, struct span stored)
{
    struct content_check_room *room = c->room;

    if (room == NULL || !segment_add(&room->segment, part, codec, stored))
        return false;
    const char *kept = keep(room, stored);
    if (kept != NULL)
        room->segment.parts[room->segment.count - 1].at = kept;
    else
        room->segment.count--;      /* what is cut off cannot be decoded */
    return true;
}

void content_check_part(struct content_check *c, int32_t number, int32_t codec, struct span stored)
{
    uint32_t part = (uint32_t)number;
    const char *kept;

    c->stored_came += (int64_t)stored.len;
    if (goes_on(c, part, codec, stored))
        return;
    end_segment(c);
    if (part != c->next_part && is_sound(c))
        c->gap = true;
    if (codec == CODEC_PLAIN) {
        add(c, stored, part + 1);
        return;
    }
    if (c->room == NULL)
        c->room = mem_zalloc(sizeof *c->room);
    kept = keep(c->room, stored);
    if (kept == NULL || !segment_begin(&c->room->segment, part, codec, (struct span){ kept, stored.len })) {
        c->room->len = 0;
        c->undecoded = c->undecoded || !c->gap;
    }
}

bool content_check_end(struct content_check *c, char *why_r, size_t size)
{
    unsigned char digest[CONTENT_DIGEST];

    end_segment(c);
    mem_free(c->room);
    c->room = NULL;
    content_hash_end(&c->hash, digest);
    if (c->gap)
        snprintf(why_r, size, "part %u is missing", (unsigned)c->next_part);
    else if (c->undecoded)
        snprintf(why_r, size, "part %u cannot be decoded", (unsigned)c->next_part);
    else if (c->came != c->octets)
        snprintf(why_r, size, "has %lld octets, should have %lld", (long long)c->came, (long long)c->octets);
    else if (memcmp(digest, c->digest, CONTENT_DIGEST) != 0)
        snprintf(why_r, size, "its octets do not have its digest");
    else if (c->stored > 0 && c->stored != c->stored_came)
        snprintf(why_r, size, "takes %lld octets, its row says %lld: recode its mailbox to plain and back",
                 (long long)c->stored_came, (long long)c->stored);
    else
        return true;
    return false;
}
