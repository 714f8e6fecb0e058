/*
 * policies.c - a table of fixed size, the later one stays. Pure but for the key
 * of its hash, so that nobody can choose names that drive out others.
 */
#include "auth/account/policies.h"

#include <sodium.h>
#include <string.h>

#include "daemon/base/mem.h"

enum { DAY = 86400 };

struct digest {
    unsigned char octets[crypto_shorthash_siphashx24_BYTES];
};

struct place {
    struct digest address, network;     /* 128 bits: not two that are the same */
    int64_t day;
    struct policy_entry entry;
};

struct policies {
    unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
    size_t count;
    struct place **places;              /* NULL: never used */
};

struct policies *policies_new(size_t entries)
{
    struct policies *p = mem_zalloc(sizeof *p);

    randombytes_buf(p->key, sizeof p->key);
    p->count = entries;
    if (entries > 0)
        p->places = mem_array(entries, sizeof *p->places);
    return p;
}

void policies_free(struct policies **policies)
{
    struct policies *p = *policies;

    if (p == NULL)
        return;
    for (size_t i = 0; i < p->count; i++)
        mem_free(p->places[i]);
    mem_free(p->places);
    mem_free(p);
    *policies = NULL;
}

static struct digest digest_of(const struct policies *p, const char *text)
{
    struct digest d;

    crypto_shorthash_siphashx24(d.octets, (const unsigned char *)text, strlen(text), p->key);
    return d;
}

static size_t place_of(const struct policies *p, const struct digest *address)
{
    uint64_t n;

    memcpy(&n, address->octets, sizeof n);
    return (size_t)(n % p->count);
}

static bool same(const struct digest *a, const struct digest *b)
{
    return memcmp(a->octets, b->octets, sizeof a->octets) == 0;
}

const struct policy_entry *policies_get(const struct policies *p, const char *address, const char *network,
                                        int64_t now_s)
{
    if (p->count == 0)
        return NULL;
    struct digest name = digest_of(p, address), from = digest_of(p, network);
    const struct place *place = p->places[place_of(p, &name)];

    if (place == NULL || !same(&place->address, &name))
        return NULL;
    if (network[0] != '\0' && (!same(&place->network, &from) || place->day != now_s / DAY))
        return NULL;
    return &place->entry;
}

void policies_put(struct policies *p, const char *address, const char *network, int64_t now_s,
                  const struct policy_entry *entry)
{
    if (p->count == 0)
        return;
    struct digest name = digest_of(p, address);
    struct place **at = &p->places[place_of(p, &name)];

    if (*at == NULL)
        *at = mem_alloc(sizeof **at);
    **at = (struct place){ name, digest_of(p, network), now_s / DAY, *entry };
    (*at)->entry.policy.maintenance.at = (*at)->entry.maintenance;
}
