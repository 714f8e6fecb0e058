/*
 * hash.c - chains by number. Owns the table, nothing that is in it.
 */
#include "daemon/base/hash.h"

#include "daemon/base/mem.h"

enum { BUCKETS_FIRST = 64 };

static struct hash_link **bucket(const struct hash *hash, uint64_t key)
{
    /* Fibonacci hashing: mailboxes are numbered one after the other, and those of one domain in steps. */
    uint64_t mixed = key * UINT64_C(0x9E3779B97F4A7C15);

    return &hash->table[(mixed >> 32) & (hash->buckets - 1)];
}

static void insert(struct hash *hash, struct hash_link *link)
{
    struct hash_link **at = bucket(hash, link->key);

    link->next = *at;
    *at = link;
}

static void grow(struct hash *hash)
{
    struct hash old = *hash;

    hash->buckets = old.buckets == 0 ? BUCKETS_FIRST : old.buckets * 2;
    hash->table = mem_array(hash->buckets, sizeof hash->table[0]);
    for (size_t i = 0; i < old.buckets; i++)
        for (struct hash_link *link = old.table[i], *next; link != NULL; link = next) {
            next = link->next;
            insert(hash, link);
        }
    mem_free(old.table);
}

struct hash_link *hash_find(const struct hash *hash, uint64_t key)
{
    struct hash_link *link = hash->count > 0 ? *bucket(hash, key) : NULL;

    while (link != NULL && link->key != key)
        link = link->next;
    return link;
}

void hash_add(struct hash *hash, uint64_t key, struct hash_link *link)
{
    if (hash->count == hash->buckets)
        grow(hash);
    link->key = key;
    insert(hash, link);
    hash->count++;
}

void hash_remove(struct hash *hash, struct hash_link *link)
{
    struct hash_link **at = bucket(hash, link->key);

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    hash->count--;
}

void hash_each(struct hash *hash, void (*each)(struct hash_link *link, void *arg), void *arg)
{
    for (size_t i = 0; i < hash->buckets; i++)
        for (struct hash_link *link = hash->table[i], *next; link != NULL; link = next) {
            next = link->next;
            each(link, arg);
        }
}

void hash_free(struct hash *hash)
{
    mem_free(hash->table);
    *hash = HASH_EMPTY;
}
