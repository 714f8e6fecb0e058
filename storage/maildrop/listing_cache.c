/*
 * listing_cache.c - a hash of chains by mailbox, and a ring in order of use.
 */
#include "storage/maildrop/listing_cache.h"

#include "daemon/base/mem.h"
#include "storage/maildrop/listing.h"

enum { BUCKETS_FIRST = 64 };

struct entry {
    int64_t mailbox;
    struct listing *listing;
    struct entry *chain;
    struct entry *newer, *older;
};

struct listing_cache {
    size_t limit, octets;
    size_t count, buckets;      /* buckets is a power of two */
    struct entry **table;
    struct entry ring;          /* ring.older was used last, ring.newer the longest ago */
};

static size_t cost(const struct entry *e)
{
    return sizeof *e + sizeof e->chain + listing_memory(e->listing);
}

static struct entry **bucket(const struct listing_cache *cache, int64_t mailbox)
{
    /* Fibonacci hashing: mailboxes are numbered one after the other, and those of one domain in steps. */
    uint64_t hash = (uint64_t)mailbox * UINT64_C(0x9E3779B97F4A7C15);
    return &cache->table[(hash >> 32) & (cache->buckets - 1)];
}

static void unlink_from_ring(struct entry *e)
{
    e->newer->older = e->older;
    e->older->newer = e->newer;
}

static void link_as_newest(struct listing_cache *cache, struct entry *e)
{
    e->newer = &cache->ring;
    e->older = cache->ring.older;
    e->older->newer = e;
    cache->ring.older = e;
}

static void remove_entry(struct listing_cache *cache, struct entry *e)
{
    struct entry **at = bucket(cache, e->mailbox);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_from_ring(e);
    cache->octets -= cost(e);
    cache->count--;
    listing_release(&e->listing);
    mem_free(e);
}

static void grow(struct listing_cache *cache)
{
    size_t old_buckets = cache->buckets;
    struct entry **old = cache->table;

    cache->buckets *= 2;
    cache->table = mem_array(cache->buckets, sizeof old[0]);
    for (size_t i = 0; i < old_buckets; i++)
        for (struct entry *e = old[i], *next; e != NULL; e = next) {
            struct entry **at = bucket(cache, e->mailbox);
            next = e->chain;
            e->chain = *at;
            *at = e;
        }
    mem_free(old);
}

struct listing_cache *listing_cache_new(size_t octets)
{
    struct listing_cache *cache = mem_zalloc(sizeof *cache);

    cache->limit = octets;
    cache->buckets = BUCKETS_FIRST;
    cache->table = mem_array(cache->buckets, sizeof cache->table[0]);
    cache->ring.newer = cache->ring.older = &cache->ring;
    return cache;
}

void listing_cache_free(struct listing_cache **cache)
{
    if (*cache == NULL)
        return;
    while ((*cache)->count > 0)
        remove_entry(*cache, (*cache)->ring.newer);
    mem_free((*cache)->table);
    mem_free(*cache);
    *cache = NULL;
}

static struct entry *find(const struct listing_cache *cache, int64_t mailbox)
{
    struct entry *e = *bucket(cache, mailbox);
    while (e != NULL && e->mailbox != mailbox)
        e = e->chain;
    return e;
}

struct listing *listing_cache_get(struct listing_cache *cache, int64_t mailbox)
{
    struct entry *e = find(cache, mailbox);

    if (e == NULL)
        return NULL;
    unlink_from_ring(e);
    link_as_newest(cache, e);
    return listing_hold(e->listing);
}

void listing_cache_put(struct listing_cache *cache, int64_t mailbox, struct listing *l)
{
    struct entry *e = find(cache, mailbox);

    if (e != NULL && e->listing == l)
        return;
    if (e != NULL)
        remove_entry(cache, e);
    e = mem_alloc(sizeof *e);
    *e = (struct entry){ .mailbox = mailbox, .listing = listing_hold(l) };
    if (cache->count == cache->buckets)
        grow(cache);
    struct entry **at = bucket(cache, mailbox);
    e->chain = *at;
    *at = e;
    link_as_newest(cache, e);
    cache->count++;
    cache->octets += cost(e);
    /* The new one too, if it alone is too large. */
    while (cache->octets > cache->limit && cache->count > 0)
        remove_entry(cache, cache->ring.newer);
}

size_t listing_cache_octets(const struct listing_cache *cache)
{
    return cache->octets;
}
