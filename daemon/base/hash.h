/*
 * hash.h - what is found by a number, a mailbox for example: chains through what
 * is in it, in a table that grows.
 *
 * Three others find things by a number and are something else. idmap.h gives the
 * numbers out itself, so that finding one is an index; recent.h and limit.h lie in
 * memory that processes share, so they never grow, keep no pointer and take no lock.
 */
#ifndef POSTERN_BASE_HASH_H
#define POSTERN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* In what is found. It stays its owner's. */
struct hash_link {
    struct hash_link *next;
    uint64_t key;
};

struct hash {
    struct hash_link **table;
    size_t count, buckets;      /* buckets is a power of two, or 0 */
};
#define HASH_EMPTY ((struct hash){ NULL, 0, 0 })

/* What a link, not NULL, is in. */
#define HASH_OF(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

/* NULL where there is none. */
struct hash_link *hash_find(const struct hash *hash, uint64_t key);
/* Nothing of this key is there. */
void hash_add(struct hash *hash, uint64_t key, struct hash_link *link);
/* It is there. */
void hash_remove(struct hash *hash, struct hash_link *link);
/* Calls each(link, arg) for all, in no order; `each` may remove the one it is called for, and free it. */
void hash_each(struct hash *hash, void (*each)(struct hash_link *link, void *arg), void *arg);
/* The table. What is in it is not touched; empty and usable afterwards. */
void hash_free(struct hash *hash);

#endif
