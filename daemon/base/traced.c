/*
 * traced.c - a short list of subjects, and the comparison.
 *
 * Owns the list of the process. Never writes a line: whoever has the dialogue
 * does, and knows what in it is secret.
 */
#include "daemon/base/traced.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/num.h"

struct network {
    unsigned char at[16];       /* IPv4 as ::ffff:0:0/96 */
    unsigned bits;
};

static struct entry {
    char subject[TRACED_SUBJECT_SIZE];
    uint64_t until;             /* 0: free */
    bool is_network;
    struct network network;
} list[TRACED_MAX];
static size_t used;             /* entries that are not free */

static bool parse_address(struct span text, unsigned char at[16], unsigned *width_r)
{
    char copy[INET6_ADDRSTRLEN];
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    *width_r = 32;
    memcpy(at, mapped, sizeof mapped);
    if (inet_pton(AF_INET, copy, at + 12) == 1)
        return true;
    *width_r = 128;
    return inet_pton(AF_INET6, copy, at) == 1;
}

static bool parse_network(const char *text, struct network *n)
{
    size_t len = strcspn(text, "/");
    unsigned width;
    uint64_t bits;

    if (!parse_address((struct span){ text, len }, n->at, &width))
        return false;
    bits = width;
    if (text[len] == '/' && num_parse(span_str(text + len + 1), width, &bits) != 1)
        return false;
    n->bits = 128 - width + (unsigned)bits;
    return true;
}

/* "192.0.2.1:4242", "[2001:db8::1]:4242" */
static bool parse_peer(const char *peer, unsigned char at[16])
{
    const char *end = strrchr(peer, ':');
    struct span host = { peer, end != NULL ? (size_t)(end - peer) : 0 };
    unsigned width;

    if (host.len >= 2 && host.at[0] == '[')
        host = (struct span){ host.at + 1, host.len - 2 };
    return parse_address(host, at, &width);
}

static bool contains(const struct network *n, const unsigned char at[16])
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->at, at, whole) != 0)
        return false;
    return rest == 0 || ((n->at[whole] ^ at[whole]) >> (8 - rest)) == 0;
}

bool traced_is_subject(const char *subject)
{
    struct network n;
    size_t len = strnlen(subject, TRACED_SUBJECT_SIZE);

    if (len == 0 || len == TRACED_SUBJECT_SIZE)
        return false;
    return strcmp(subject, "unix") == 0 || strchr(subject, '@') != NULL || parse_network(subject, &n);
}

/* Entries whose time is over are free. */
static void sweep(uint64_t now)
{
    used = 0;
    for (size_t i = 0; i < TRACED_MAX; i++) {
        if (list[i].until <= now)
            list[i].until = 0;
        used += list[i].until != 0;
    }
}

bool traced_set(const char *subject, uint64_t until, uint64_t now)
{
    struct entry *e = NULL;

    if (!traced_is_subject(subject))
        return false;
    sweep(now);
    for (size_t i = 0; i < TRACED_MAX && e == NULL; i++) {
        if (list[i].until != 0 && strcmp(list[i].subject, subject) == 0)
            e = &list[i];
    }
    for (size_t i = 0; i < TRACED_MAX && e == NULL && until > now; i++) {
        if (list[i].until == 0)
            e = &list[i];
    }
    if (e == NULL)
        return until <= now;
    memcpy(e->subject, subject, strlen(subject) + 1);
    e->is_network = parse_network(subject, &e->network);
    e->until = until;
    sweep(now);
    return true;
}

void traced_clear(void)
{
    memset(list, 0, sizeof list);
    used = 0;
}

bool traced_wanted(const char *peer, struct span address, uint64_t now)
{
    unsigned char at[16];
    bool found = false;

    if (used == 0)
        return false;
    sweep(now);
    bool internet = parse_peer(peer, at);
    for (size_t i = 0; i < TRACED_MAX && !found; i++) {
        const struct entry *e = &list[i];

        if (e->until == 0)
            continue;
        if (e->is_network)
            found = internet && contains(&e->network, at);
        else
            found = strcmp(e->subject, peer) == 0 || span_is_nocase(address, span_str(e->subject));
    }
    return found;
}
