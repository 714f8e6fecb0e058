/*
 * traced.c - a short list of subjects, and the comparison.
 *
 * Owns the list of the process. Never writes a line: whoever has the dialogue
 * does, and knows what in it is secret.
 */
#include "daemon/base/traced.h"

#include <string.h>

#include "daemon/base/network.h"

static struct entry {
    char subject[TRACED_SUBJECT_SIZE];
    uint64_t until;             /* 0: free */
    bool is_network;
    struct network network;
} list[TRACED_MAX];
static size_t used;             /* entries that are not free */

bool traced_is_subject(const char *subject)
{
    struct network n;
    size_t len = strnlen(subject, TRACED_SUBJECT_SIZE);

    if (len == 0 || len == TRACED_SUBJECT_SIZE)
        return false;
    return strcmp(subject, "unix") == 0 || strchr(subject, '@') != NULL || network_parse(span_str(subject), &n);
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
    e->is_network = network_parse(span_str(subject), &e->network);
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
    struct network_address client;
    bool found = false;

    if (used == 0)
        return false;
    sweep(now);
    bool internet = network_of_peer(peer, &client);
    for (size_t i = 0; i < TRACED_MAX && !found; i++) {
        const struct entry *e = &list[i];

        if (e->until == 0)
            continue;
        if (e->is_network)
            found = internet && network_has(&e->network, &client);
        else
            found = strcmp(e->subject, peer) == 0 || span_is_nocase(address, span_str(e->subject));
    }
    return found;
}
