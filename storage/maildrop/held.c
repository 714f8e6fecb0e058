/*
 * held.c - a hash of maildrops by mailbox, chained through the drops.
 */
#include "daemon/base/mem.h"
#include "storage/maildrop/store_impl.h"

enum { BUCKETS_FIRST = 64 };

static struct drop **bucket(const struct held *held, int64_t mailbox)
{
    uint64_t hash = (uint64_t)mailbox * UINT64_C(0x9E3779B97F4A7C15);
    return &held->table[(hash >> 32) & (held->buckets - 1)];
}

static void grow(struct held *held)
{
    struct held old = *held;

    held->buckets = old.buckets == 0 ? BUCKETS_FIRST : old.buckets * 2;
    held->table = mem_array(held->buckets, sizeof held->table[0]);
    for (size_t i = 0; i < old.buckets; i++)
        for (struct drop *d = old.table[i], *next; d != NULL; d = next) {
            struct drop **at = bucket(held, d->mailbox);
            next = d->chain;
            d->chain = *at;
            *at = d;
        }
    mem_free(old.table);
}

bool held_add(struct held *held, struct drop *drop)
{
    if (held->count == held->buckets)
        grow(held);
    struct drop **at = bucket(held, drop->mailbox);
    for (struct drop *d = *at; d != NULL; d = d->chain)
        if (d->mailbox == drop->mailbox)
            return false;
    drop->chain = *at;
    *at = drop;
    drop->held = true;
    held->count++;
    return true;
}

void held_remove(struct held *held, struct drop *drop)
{
    if (!drop->held)
        return;
    struct drop **at = bucket(held, drop->mailbox);
    while (*at != drop)
        at = &(*at)->chain;
    *at = drop->chain;
    drop->held = false;
    held->count--;
}

struct drop *held_find(const struct held *held, int64_t mailbox)
{
    if (held->count == 0)
        return NULL;
    for (struct drop *d = *bucket(held, mailbox); d != NULL; d = d->chain)
        if (d->mailbox == mailbox)
            return d;
    return NULL;
}

void held_each(struct held *held, void (*each)(struct drop *drop, void *arg), void *arg)
{
    for (size_t i = 0; i < held->buckets; i++)
        for (struct drop *d = held->table[i], *next; d != NULL; d = next) {
            next = d->chain;
            each(d, arg);
        }
}

void held_free(struct held *held)
{
    mem_free(held->table);
    *held = (struct held){ NULL, 0, 0 };
}
