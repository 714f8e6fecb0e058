/*
 * codec.c - finding a codec.
 */
#include "storage/content/codec.h"

const struct codec *codec_find(int32_t number)
{
    for (const struct codec *c = codecs; c->name != NULL; c++)
        if (c->number == number)
            return c;
    return NULL;
}

bool codec_named(struct span name, int32_t *number_r)
{
    if (span_is(name, SPAN_OF("plain"))) {
        *number_r = CODEC_PLAIN;
        return true;
    }
    for (const struct codec *c = codecs; c->name != NULL; c++)
        if (span_is(name, span_str(c->name))) {
            *number_r = c->number;
            return true;
        }
    return false;
}
