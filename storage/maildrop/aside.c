/*
 * aside.c - moves the locks of sessions that rest to a connection of their own.
 *
 * At the end of each transaction PostgreSQL walks through all locks that its
 * connection holds, so thousands of sessions that keep a maildrop and say
 * nothing would make every statement of everybody else on their lanes slower.
 * They are moved aside, some at a time, and stay there: what one of them asks
 * afterwards goes over that lane.
 */
#include "storage/maildrop/aside.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/drop_read.h"
#include "storage/maildrop/move.h"

enum {
    REST_MS = 3000,
    MANY = 32,              /* locks that nobody notices on the lanes of a worker */
    TICK_MS = 1000,
    REFUSED_PAUSE_MS = 60000,
};

struct aside *aside_new(struct store *store, void (*moved)(struct drop *drop))
{
    struct aside *a = mem_zalloc(sizeof *a);

    a->store = store;
    a->moved = moved;
    a->rest = REST_MS;
    a->many = MANY;
    a->timer = timer_new(store->loop, aside_next, a);
    return a;
}

void aside_free(struct aside **aside)
{
    timer_free(&(*aside)->timer);
    mem_free(*aside);
    *aside = NULL;
}

static bool many_on_the_lanes(const struct aside *a)
{
    return a->store->open >= a->many + pg_bound_aside(a->store->pg);
}

static void watch_in(struct aside *a, uint64_t ms)
{
    a->due = true;
    timer_set(a->timer, ms);
}

void aside_watch(struct aside *a)
{
    if (!a->due && !a->moving && many_on_the_lanes(a))
        watch_in(a, TICK_MS);
}

/* ---- whom */

static void choose(struct drop *drop, void *arg)
{
    struct move *m = arg;
    uint64_t read_at = drop_read_at(drop), since = read_at > drop->opened_at ? read_at : drop->opened_at;

    if (m->count == MOVE_MOST || drop->state != DROP_OPEN || drop_read_waits(drop) || !pg_alive(drop->lane) ||
        drop->lane.lane == m->to.lane || loop_now(m->store->loop) - since < m->store->aside->rest)
        return;
    if (m->count == 0)
        m->from = drop->lane;
    if (drop->lane.lane == m->from.lane)
        m->drops[m->count++] = drop;
}

static void end_move(struct move *m)
{
    struct aside *a = m->owner;
    /* Refused: no slots left in the lock table, most likely: not again at once. */
    uint64_t pause = m->refused ? REFUSED_PAUSE_MS : m->count == MOVE_MOST ? 0 : TICK_MS;

    pg_unbind(m->to);
    a->moving = false;
    for (size_t i = 0; i < m->count; i++)
        a->moved(m->drops[i]);
    if (!a->store->closing)
        watch_in(a, pause);
    mem_free(m);
}

void aside_next(void *arg)
{
    struct aside *a = arg;
    struct store *store = a->store;
    struct pg_ref aside;

    a->due = false;
    if (!many_on_the_lanes(a))
        return;     /* the next maildrop that is opened watches again */
    if (!pg_bind_aside(store->pg, &aside)) {
        watch_in(a, TICK_MS);
        return;
    }
    struct move *m = mem_zalloc(sizeof *m);
    m->store = store;
    m->owner = a;
    m->ended = end_move;
    m->to = aside;
    held_each(&store->held, choose, m);
    if (m->count == 0) {
        end_move(m);
        return;
    }
    log_debug(NULL, "moving %zu maildrop locks aside", m->count);
    a->moving = true;
    move_start(m);
}
