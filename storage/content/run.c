/*
 * run.c - octets on their way into the database. Pure.
 */
#include "storage/content/run.h"

#include "daemon/base/mem.h"
#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/content/segment.h"

enum {
    HEAD = 4,
    WORTH = 16,     /* a segment must become shorter by one of so many octets: reading it costs more from then on */
};

static struct span first_segment(struct span octets)
{
    return (struct span){ octets.at, octets.len < SEGMENT_OCTETS ? octets.len : SEGMENT_OCTETS };
}

static void add_segment(struct buf *room, const struct codec *codec, struct span octets)
{
    unsigned char *at = (unsigned char *)buf_reserve(room, HEAD + octets.len);
    size_t len = codec->encode(octets, (char *)at + HEAD, octets.len - octets.len / WORTH - 1);
    int32_t number = codec->number;

    if (len == 0) {
        memcpy(at + HEAD, octets.at, octets.len);
        len = octets.len;
        number = CODEC_PLAIN;
    }
    at[0] = (unsigned char)number;
    at[1] = (unsigned char)(len >> 16);
    at[2] = (unsigned char)(len >> 8);
    at[3] = (unsigned char)len;
    buf_commit(room, HEAD + len);
}

static struct span coded_run(struct span octets, const struct codec *codec, struct buf *room)
{
    struct span left = octets;

    buf_clear(room);
    while (left.len > 0) {
        struct span segment = first_segment(left);
        add_segment(room, codec, segment);
        left.at += segment.len;
        left.len -= segment.len;
    }
    return buf_left(room) < octets.len ? buf_span(room) : octets;
}

struct span run_of(struct span octets, int32_t codec, struct buf *room)
{
    if (codec == CODEC_PLAIN)
        return octets;
    ASSERT(codec_find(codec) != NULL);
    return coded_run(octets, codec_find(codec), room);
}

/* One segment of a run, cut into parts as the database does it. */
static bool holds_segment(int32_t codec, struct span coded, struct span octets, char *room)
{
    struct segment s;

    if (codec == CODEC_PLAIN)
        return span_is(coded, octets);
    for (size_t at = 0; at < coded.len; at += PART_OCTETS) {
        struct span part = { coded.at + at, coded.len - at < PART_OCTETS ? coded.len - at : PART_OCTETS };
        if (at == 0 ? !segment_begin(&s, 0, codec, part)
                    : !segment_add(&s, (uint32_t)(at / PART_OCTETS), codec, part))
            return false;
    }
    return coded.len > 0 && segment_octets(&s) == octets.len &&
           segment_decode(&s, true, room, octets.len) == (ssize_t)octets.len &&
           memcmp(room, octets.at, octets.len) == 0;
}

bool run_holds(struct span run, struct span octets)
{
    char *room;
    bool good = true;

    if (run.len >= octets.len)
        return span_is(run, octets);
    room = mem_alloc(SEGMENT_OCTETS);
    while (good && octets.len > 0) {
        const unsigned char *at = (const unsigned char *)run.at;
        struct span segment = first_segment(octets);
        size_t len = run.len < HEAD ? 0 : (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        good = run.len >= HEAD && len <= run.len - HEAD &&
               holds_segment(at[0], (struct span){ run.at + HEAD, len }, segment, room);
        if (good) {
            run.at += HEAD + len;
            run.len -= HEAD + len;
            octets.at += segment.len;
            octets.len -= segment.len;
        }
    }
    mem_free(room);
    return good && run.len == 0;
}
