/*
 * tls_tickets.c - the chain of ticket keys. Owns the secrets; knows nothing of
 * TLS. Must never keep what a new life has made old.
 */
#include "daemon/net/tls_tickets.h"

#include <sodium.h>
#include <string.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { CHAIN = 32 };

struct tls_tickets {
    uint64_t life;
    uint64_t until;             /* when the current key's life ends */
    unsigned char chain[CHAIN]; /* what the next life is made from */
    struct ticket_key current, before;
};

/* One hash for each purpose, keyed with the chain. */
static void derive(const unsigned char chain[CHAIN], const char *purpose, unsigned char *out, size_t size)
{
    ASSERT(crypto_generichash(out, size, (const unsigned char *)purpose, strlen(purpose), chain, CHAIN) == 0);
}

static void next_life(struct tls_tickets *t)
{
    unsigned char next[CHAIN];

    t->before = t->current;
    derive(t->chain, "name", t->current.name, TICKET_NAME);
    derive(t->chain, "cipher", t->current.cipher, TICKET_KEY);
    derive(t->chain, "mac", t->current.mac, TICKET_KEY);
    derive(t->chain, "next", next, CHAIN);
    memcpy(t->chain, next, CHAIN);
    secret_wipe(next, sizeof next);
    t->until += t->life;
}

struct tls_tickets *tls_tickets_new(uint64_t life, uint64_t now)
{
    struct tls_tickets *t;

    ASSERT(life > 0);
    secret_init();
    t = secret_alloc(sizeof *t);
    t->life = life;
    t->until = now;
    randombytes_buf(t->chain, sizeof t->chain);
    /* Of no ticket: nobody knows it. */
    randombytes_buf(&t->current, sizeof t->current);
    next_life(t);
    return t;
}

struct tls_tickets *tls_tickets_copy(const struct tls_tickets *tickets)
{
    struct tls_tickets *t = secret_alloc(sizeof *t);

    memcpy(t, tickets, sizeof *t);
    return t;
}

void tls_tickets_free(struct tls_tickets **tickets)
{
    if (*tickets != NULL)
        secret_free(*tickets);
    *tickets = NULL;
}

uint64_t tls_tickets_life(const struct tls_tickets *t)
{
    return t->life;
}

void tls_tickets_turn(struct tls_tickets *t, uint64_t now)
{
    while (now >= t->until)
        next_life(t);
}

const struct ticket_key *tls_tickets_current(struct tls_tickets *t, uint64_t now)
{
    tls_tickets_turn(t, now);
    return &t->current;
}

const struct ticket_key *tls_tickets_find(struct tls_tickets *t, uint64_t now, const unsigned char name[TICKET_NAME],
                                          bool *old_r)
{
    tls_tickets_turn(t, now);
    *old_r = false;
    if (memcmp(t->current.name, name, TICKET_NAME) == 0)
        return &t->current;
    *old_r = true;
    return memcmp(t->before.name, name, TICKET_NAME) == 0 ? &t->before : NULL;
}
