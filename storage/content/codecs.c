/*
 * codecs.c - the codecs that are known: a row for each.
 */
#include "storage/content/codec.h"
#include "storage/content/codec_zstd.h"

const struct codec codecs[] = {
    { CODEC_ZSTD, "zstd", zstd_octets, zstd_decode, zstd_encode },
    { 0, NULL, NULL, NULL, NULL },
};
