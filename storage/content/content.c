/*
 * content.c - the arithmetic of parts and digests. Pure.
 */
#include "storage/content/content.h"

#include "daemon/base/mem.h"

size_t content_whole(size_t octets)
{
    return octets - octets % SEGMENT_OCTETS;
}

int32_t content_part_at(uint64_t offset)
{
    ASSERT(offset % PART_OCTETS == 0 && offset / PART_OCTETS <= INT32_MAX);
    return (int32_t)(offset / PART_OCTETS);
}

void content_hash_begin(struct content_hash *hash)
{
    crypto_generichash_init(&hash->state, NULL, 0, CONTENT_DIGEST);
}

void content_hash_add(struct content_hash *hash, struct span octets)
{
    crypto_generichash_update(&hash->state, (const unsigned char *)octets.at, octets.len);
}

void content_hash_end(struct content_hash *hash, unsigned char digest_r[CONTENT_DIGEST])
{
    crypto_generichash_final(&hash->state, digest_r, CONTENT_DIGEST);
}

void content_digest(struct span octets, unsigned char digest_r[CONTENT_DIGEST])
{
    crypto_generichash(digest_r, CONTENT_DIGEST, (const unsigned char *)octets.at, octets.len, NULL, 0);
}
