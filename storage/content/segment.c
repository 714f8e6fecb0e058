/*
 * segment.c - a coded segment, gathered part by part. Pure.
 */
#include "storage/content/segment.h"

#include "storage/content/codec.h"

bool segment_begin(struct segment *s, uint32_t part, int32_t codec, struct span stored)
{
    if (part % SEGMENT_PARTS != 0 || codec_find(codec) == NULL)
        return false;
    *s = (struct segment){ .codec = codec, .first = part, .count = 1, .parts[0] = stored };
    return true;
}

bool segment_add(struct segment *s, uint32_t part, int32_t codec, struct span stored)
{
    if (s->codec == CODEC_PLAIN || codec != s->codec || s->count == SEGMENT_PARTS || part != s->first + s->count)
        return false;
    s->parts[s->count++] = stored;
    return true;
}

size_t segment_octets(const struct segment *s)
{
    return codec_find(s->codec)->octets(s->parts[0]);
}

ssize_t segment_decode(const struct segment *s, bool whole, char *room, size_t size)
{
    return codec_find(s->codec)->decode(s->parts, s->count, whole, room, size);
}
