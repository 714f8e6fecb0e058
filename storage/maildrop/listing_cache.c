/*
 * listing_cache.c - what was kept, by mailbox, and a ring in order of use.
 */
#include "storage/maildrop/listing_cache.h"

#include "daemon/base/hash.h"
#include "daemon/base/mem.h"
#include "storage/maildrop/listing.h"

struct entry {
    struct hash_link by_mailbox;
    struct listing *listing;
    uint64_t server;
    struct entry *newer, *older;
};

struct listing_cache {
    size_t limit, octets;
    struct hash by_mailbox;
    struct entry ring;          /* ring.older was used last, ring.newer the longest ago */
};

static size_t cost(const struct entry *e)
{
    return sizeof *e + sizeof(void *) + listing_memory(e->listing);
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
    hash_remove(&cache->by_mailbox, &e->by_mailbox);
    unlink_from_ring(e);
    cache->octets -= cost(e);
    listing_release(&e->listing);
    mem_free(e);
}

struct listing_cache *listing_cache_new(size_t octets)
{
    struct listing_cache *cache = mem_zalloc(sizeof *cache);

    cache->limit = octets;
    cache->ring.newer = cache->ring.older = &cache->ring;
    return cache;
}

void listing_cache_free(struct listing_cache **cache)
{
    if (*cache == NULL)
        return;
    while ((*cache)->by_mailbox.count > 0)
        remove_entry(*cache, (*cache)->ring.newer);
    hash_free(&(*cache)->by_mailbox);
    mem_free(*cache);
    *cache = NULL;
}

static struct entry *find(const struct listing_cache *cache, const struct mailbox_ref *mailbox)
{
    struct hash_link *link = hash_find(&cache->by_mailbox, mailbox_key(mailbox));

    return link != NULL ? HASH_OF(link, struct entry, by_mailbox) : NULL;
}

struct listing *listing_cache_get(struct listing_cache *cache, const struct mailbox_ref *mailbox, uint64_t server)
{
    struct entry *e = find(cache, mailbox);

    if (e == NULL)
        return NULL;
    if (e->server != server) {
        remove_entry(cache, e);
        return NULL;
    }
    unlink_from_ring(e);
    link_as_newest(cache, e);
    return listing_hold(e->listing);
}

void listing_cache_put(struct listing_cache *cache, const struct mailbox_ref *mailbox, uint64_t server,
                       struct listing *l)
{
    struct entry *e = find(cache, mailbox);

    if (e != NULL && e->listing == l && e->server == server)
        return;
    if (e != NULL)
        remove_entry(cache, e);
    e = mem_alloc(sizeof *e);
    *e = (struct entry){ .listing = listing_hold(l), .server = server };
    hash_add(&cache->by_mailbox, mailbox_key(mailbox), &e->by_mailbox);
    link_as_newest(cache, e);
    cache->octets += cost(e);
    /* The new one too, if it alone is too large. */
    while (cache->octets > cache->limit && cache->by_mailbox.count > 0)
        remove_entry(cache, cache->ring.newer);
}

void listing_cache_forget(struct listing_cache *cache, const struct mailbox_ref *mailbox)
{
    struct entry *e = find(cache, mailbox);

    if (e != NULL)
        remove_entry(cache, e);
}

size_t listing_cache_octets(const struct listing_cache *cache)
{
    return cache->octets;
}
