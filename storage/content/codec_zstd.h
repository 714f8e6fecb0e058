/*
 * codec_zstd.h - the functions of struct codec for Zstandard (RFC 8878): a
 * segment is one frame, which says how many octets it has.
 */
#ifndef POSTERN_STORAGE_CODEC_ZSTD_H
#define POSTERN_STORAGE_CODEC_ZSTD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/base/span.h"

size_t zstd_octets(struct span first_part);
ssize_t zstd_decode(const struct span *parts, size_t count, bool whole, char *room, size_t size);
size_t zstd_encode(struct span octets, char *room, size_t size);

#endif
