/*
 * proven.c - the table of proven passwords: sets of four, the latest first.
 *
 * Owns the key, made at random for each process and never shown. Must never
 * hold a password, a stored secret, or a digest made without the key.
 */
#include "auth/proven.h"

#include <sodium.h>
#include <stdint.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { WAYS = 4 };

/* 128 bits: a stranger cannot compute one, and 2^128 guesses are out of reach. All zero is an empty place. */
struct digest {
    unsigned char octets[16];
};

struct proven {
    unsigned char *key;         /* crypto_generichash_KEYBYTES in locked memory */
    size_t sets;
    struct digest *digests;     /* sets * WAYS */
};

struct proven *proven_new(size_t entries)
{
    struct proven *p = mem_zalloc(sizeof *p);

    p->key = secret_alloc(crypto_generichash_KEYBYTES);
    randombytes_buf(p->key, crypto_generichash_KEYBYTES);
    p->sets = entries / WAYS + (entries % WAYS != 0);
    if (p->sets > 0)
        p->digests = mem_array(p->sets, WAYS * sizeof *p->digests);
    return p;
}

void proven_free(struct proven **proven)
{
    struct proven *p = *proven;

    if (p == NULL)
        return;
    *proven = NULL;
    secret_free(p->key);
    secret_wipe(p->digests, p->sets * WAYS * sizeof *p->digests);
    mem_free(p->digests);
    mem_free(p);
}

/* With its length in front, so that "ab"+"c" and "a"+"bc" are two things. */
static void hash_text(crypto_generichash_state *state, struct span text)
{
    unsigned char len[8];

    for (size_t i = 0; i < sizeof len; i++)
        len[i] = (unsigned char)((uint64_t)text.len >> (8 * i));
    crypto_generichash_update(state, len, sizeof len);
    crypto_generichash_update(state, (const unsigned char *)text.at, text.len);
}

/* The digest, and the set where it would be. */
static struct digest *locate(struct proven *p, struct span stored, struct span password, struct digest *digest_r)
{
    crypto_generichash_state state;
    unsigned char full[sizeof(struct digest) + sizeof(uint64_t)];
    uint64_t where;

    crypto_generichash_init(&state, p->key, crypto_generichash_KEYBYTES, sizeof full);
    hash_text(&state, stored);
    hash_text(&state, password);
    crypto_generichash_final(&state, full, sizeof full);
    secret_wipe(&state, sizeof state);
    memcpy(digest_r, full, sizeof *digest_r);
    memcpy(&where, full + sizeof *digest_r, sizeof where);
    return p->digests + where % p->sets * WAYS;
}

/* set[0 .. at - 1] one place back, the digest in front. */
static void to_front(struct digest *set, size_t at, const struct digest *digest)
{
    memmove(set + 1, set, at * sizeof *set);
    set[0] = *digest;
}

bool proven_has(struct proven *p, struct span stored, struct span password)
{
    struct digest digest;

    if (p->sets == 0)
        return false;
    struct digest *set = locate(p, stored, password, &digest);
    for (size_t i = 0; i < WAYS; i++)
        if (sodium_memcmp(&set[i], &digest, sizeof digest) == 0) {
            to_front(set, i, &digest);
            return true;
        }
    return false;
}

void proven_add(struct proven *p, struct span stored, struct span password)
{
    struct digest digest;

    if (p->sets == 0 || proven_has(p, stored, password))
        return;
    to_front(locate(p, stored, password, &digest), WAYS - 1, &digest);
}
