/*
 * codecs.c - the codecs that are known: a row for each.
 */
#include "storage/content/codec.h"

const struct codec codecs[] = {
    { 0, NULL, NULL },
};
