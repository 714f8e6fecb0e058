/*
 * codec.c - parts as they are stored, and what they hold.
 */
#include "storage/content/codec.h"

#include "daemon/base/mem.h"
#include "storage/content/content.h"

bool codec_decode(int32_t codec, struct span stored, char *room, struct span *octets_r)
{
    if (codec == CODEC_PLAIN) {
        *octets_r = stored;
        return true;
    }
    for (const struct codec *c = codecs; c->name != NULL; c++) {
        if (c->number != codec)
            continue;
        ssize_t len = c->decode(stored, room);
        ASSERT(len <= PART_OCTETS);
        *octets_r = (struct span){ room, len > 0 ? (size_t)len : 0 };
        return len >= 0;
    }
    return false;
}
