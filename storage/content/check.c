/*
 * check.c - a content, read part by part and compared with its row. Pure.
 */
#include "storage/content/check.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/mem.h"
#include "storage/content/codec.h"

void content_check_begin(struct content_check *c, int64_t octets, struct span digest)
{
    ASSERT(digest.len == CONTENT_DIGEST);
    *c = (struct content_check){ .octets = octets };
    memcpy(c->digest, digest.at, CONTENT_DIGEST);
    content_hash_begin(&c->hash);
}

void content_check_part(struct content_check *c, int32_t part, int32_t codec, struct span stored)
{
    char room[PART_OCTETS];
    struct span octets = SPAN_OF("");

    /* The first fault counts, but all that can be read is counted. */
    if (part != c->next_part)
        c->gap = c->gap || !c->undecoded;
    if (!codec_decode(codec, stored, room, &octets))
        c->undecoded = c->undecoded || !c->gap;
    if (!c->gap && !c->undecoded)
        c->next_part++;
    c->came += (int64_t)octets.len;
    content_hash_add(&c->hash, octets);
}

bool content_check_end(struct content_check *c, char *why_r, size_t size)
{
    unsigned char digest[CONTENT_DIGEST];

    content_hash_end(&c->hash, digest);
    if (c->gap)
        snprintf(why_r, size, "part %d is missing", (int)c->next_part);
    else if (c->undecoded)
        snprintf(why_r, size, "part %d cannot be decoded", (int)c->next_part);
    else if (c->came != c->octets)
        snprintf(why_r, size, "has %lld octets, should have %lld", (long long)c->came, (long long)c->octets);
    else if (memcmp(digest, c->digest, CONTENT_DIGEST) != 0)
        snprintf(why_r, size, "its octets do not have its digest");
    else
        return true;
    return false;
}
