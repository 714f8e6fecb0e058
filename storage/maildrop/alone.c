/*
 * alone.c - deletions of many messages have a lane of their own.
 *
 * How many messages a QUIT deletes is its client's choice, and all is one
 * transaction. On the lane of its session hundreds of others would wait for it,
 * and statement_timeout would end it each time. So its lock is moved (move.c)
 * to a connection that is made for that and closed afterwards, where one
 * deletion after the other has the time that it takes. Who has least to delete
 * comes first: nobody waits for more than one that takes longer than their own.
 *
 * Where that connection cannot be had the deletion is refused, with a word in
 * the log: nothing was deleted, and the client may try again.
 *
 * The same for a session that retrieved many messages and deleted none, where a
 * policy may want each of them noted.
 */
#include "storage/maildrop/alone.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/move.h"

enum {
    MANY = 1000,            /* some 30 ms of the database's time */
    TRIES = 5,
    AGAIN_MS = 1000,
};

static void next_later(void *arg)
{
    alone_next(arg);
}

struct alone *alone_new(struct store *store, void (*go)(struct drop *drop, bool has_lane))
{
    struct alone *a = mem_zalloc(sizeof *a);

    a->store = store;
    a->go = go;
    a->many = MANY;
    a->again = AGAIN_MS;
    a->timer = timer_new(store->loop, next_later, a);
    return a;
}

void alone_free(struct alone **alone)
{
    timer_free(&(*alone)->timer);
    mem_free(*alone);
    *alone = NULL;
}

static size_t rows(const struct drop *drop)
{
    return drop->ending.marked + drop->retrieved.count;
}

static struct drop *take_least(struct alone *a)
{
    struct drop **least = &a->waiting, *drop;

    for (struct drop **d = &(*least)->ending.next; *d != NULL; d = &(*d)->ending.next)
        if (rows(*d) <= rows(*least))   /* the oldest is the last one */
            least = d;
    drop = *least;
    *least = drop->ending.next;
    return drop;
}

static void refuse_all(struct alone *a)
{
    struct drop *all = a->waiting;

    a->waiting = NULL;
    a->tries = 0;
    while (all != NULL) {
        struct drop *drop = all;

        all = drop->ending.next;
        a->go(drop, false);
    }
}

void alone_end(struct alone *alone)
{
    refuse_all(alone);
}

/* ---- the move */

static void ended(struct move *m)
{
    struct alone *a = m->owner;
    struct drop *drop = m->drops[0];
    bool has_lane = pg_alive(drop->lane) && drop->lane.lane == m->to.lane;

    /* Its drop is bound to the lane now, or nobody is. */
    pg_unbind(m->to);
    mem_free(m);
    drop->moving = false;
    if (!has_lane)
        a->under_way = NULL;
    a->go(drop, has_lane);
    alone_next(a);
}

static void start(struct alone *a, struct pg_ref lane)
{
    struct move *m = mem_zalloc(sizeof *m);

    a->tries = 0;
    a->under_way = take_least(a);
    log_debug(a->under_way->who.session, "%zu messages deleted and %zu retrieved: a lane of its own",
              a->under_way->ending.marked, a->under_way->retrieved.count);
    m->store = a->store;
    m->owner = a;
    m->ended = ended;
    m->from = a->under_way->lane;
    m->to = lane;
    m->drops[m->count++] = a->under_way;
    move_start(m);
}

/* ---- whose turn it is */

void alone_next(struct alone *a)
{
    struct pg_ref lane;

    if (a->under_way != NULL || a->waiting == NULL || a->store->closing)
        return;
    switch (pg_bind_alone(a->store->pg, &lane)) {
    case PG_BOUND:
        start(a, lane);
        break;
    case PG_WAIT:
        break;
    case PG_AWAY:
    case PG_WRONG:
        if (++a->tries < TRIES) {
            timer_set(a->timer, a->again);
            break;
        }
        log_error(NULL, "no connection to the database for a deletion of many messages; it takes one more than"
                        " database_lanes: is max_connections of PostgreSQL large enough?");
        refuse_all(a);
        break;
    }
}

void alone_wait(struct alone *a, struct drop *drop)
{
    drop->ending.next = a->waiting;
    a->waiting = drop;
    alone_next(a);
}

void alone_over(struct alone *a, const struct drop *drop)
{
    if (a->under_way != drop)
        return;
    a->under_way = NULL;
    alone_next(a);
}
