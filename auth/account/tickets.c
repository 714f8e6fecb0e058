/*
 * tickets.c - the key of tickets in a helper (see tickets.h).
 *
 * Owns the key. Must never reckon with this host's date: what a ticket says of its
 * end is the database's time, from its clock and the one here that only goes on.
 */
#include "auth/account/tickets.h"

#include <time.h>

#include "auth/account/credentials.h"
#include "auth/ticket.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { LOOK_MS = 60000 };       /* new_ticket_key() in SQL relies on it, too */

struct tickets {
    struct credentials_source *source;
    bool has;
    unsigned char key[TICKET_KEY];
    int64_t ahead;              /* the database's clock of ours, in milliseconds */
    int64_t looked;             /* when, by our clock */
    uint64_t connection;        /* and on which */
};

/* Goes on while the host sleeps, as the database's does. */
static int64_t boottime_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct tickets *tickets_new(struct credentials_source *source)
{
    struct tickets *t = mem_zalloc(sizeof *t);

    t->source = source;
    return t;
}

void tickets_free(struct tickets **tickets)
{
    struct tickets *t = *tickets;

    if (t == NULL)
        return;
    *tickets = NULL;
    secret_wipe(t->key, sizeof t->key);
    mem_free(t);
}

static bool is_due(const struct tickets *t)
{
    return !t->has || boottime_ms() - t->looked >= LOOK_MS || t->connection != credentials_connection(t->source);
}

bool tickets_look(struct tickets *t)
{
    unsigned char key[TICKET_KEY];
    int64_t now_ms;

    if (!is_due(t))
        return true;
    if (credentials_ticket_key(t->source, key, &now_ms)) {
        memcpy(t->key, key, sizeof t->key);
        secret_wipe(key, sizeof key);
        t->has = true;
        t->ahead = now_ms - boottime_ms();
    }
    t->looked = boottime_ms();
    t->connection = credentials_connection(t->source);
    return t->has;
}

bool tickets_make(struct tickets *t, const struct mailbox_ref *mailbox, const struct mailbox_versions *versions,
                  uint32_t pid, struct mailbox_ticket *ticket_r)
{
    if (!tickets_look(t))
        return false;
    ticket_make(t->key, mailbox, versions, pid, boottime_ms() + t->ahead + TICKET_LIFE_MS, ticket_r);
    return true;
}
