/*
 * aside.c - moves the locks of sessions that rest to a connection of their own.
 *
 * At the end of each transaction PostgreSQL walks through all locks that its
 * connection holds, so thousands of sessions that keep a maildrop and say
 * nothing would make every statement of everybody else on their lanes slower.
 * They are moved aside, some at a time, and stay there: what one of them asks
 * afterwards goes over that lane.
 *
 * A move is four statements (move_locks in sql/schema/03_maildrop.sql):
 *
 *     share on the old lane --> join on the lane aside --> leave on the old one --> own on the lane aside
 *
 * Never without a lock that keeps others out: that leaving found the lock still
 * there proves that the one aside was taken under it. Where the old lane was
 * lost before that, so was the session, whatever the lane aside holds. A drop
 * does not end while it is moved, as its unlocking would have no right place.
 */
#include "storage/maildrop/aside.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/drop_read.h"
#include "storage/pg/pg_array.h"

enum {
    REST_MS = 3000,
    MANY = 32,              /* locks that nobody notices on the lanes of a worker */
    TICK_MS = 1000,
    BATCH = 200,            /* 2 ms of a lane, and so many slots of the lock table for a moment */
    REFUSED_PAUSE_MS = 60000,
};
enum { SHARE = 1, JOIN, LEAVE, OWN };
enum { PASS = 32 };
/* Columns of PG_MOVE_LOCKS. */
enum { COL_FAILED, COL_UNTIL, COL_PASS };

struct move {
    struct aside *all;      /* that it belongs to */
    struct pg_ref from, aside;
    uint64_t pause;         /* before the next one */
    int64_t until;          /* what step 1 said for step 2: the pass of these locks, and how long it holds */
    unsigned char pass[PASS];
    size_t count;
    struct drop *drops[BATCH];
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

/* ---- the steps */

static void ask_step(struct move *m, struct pg_ref lane, int step, pg_answer *answer)
{
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf mailboxes = BUF_EMPTY;

    pg_array_put_head(&mailboxes, (uint32_t)m->count);
    for (size_t i = 0; i < m->count; i++)
        pg_array_put_mailbox(&mailboxes, &m->drops[i]->place.mailbox);
    pg_arg_int4(&args, step);
    pg_arg_bytes(&args, buf_span(&mailboxes));
    if (step == SHARE)
        pg_arg_int4(&args, pg_backend_pid(m->aside));
    else
        pg_arg_null(&args);
    if (step == JOIN) {
        pg_arg_int8(&args, m->until);
        pg_arg_bytes(&args, (struct span){ (const char *)m->pass, sizeof m->pass });
    } else {
        pg_arg_null(&args);
        pg_arg_null(&args);
    }
    pg_ask(m->all->store->pg, lane, PG_MOVE_LOCKS, &args, answer, m);
    buf_free(&mailboxes);
}

/* True if it was done for all of them. */
static bool step_done(enum db_status status, PGresult *res)
{
    int32_t refused = -1;
    bool done = status == DB_OK && PQntuples(res) == 1 && pg_get_int4(res, 0, COL_FAILED, &refused) && refused == 0;

    PQclear(res);
    return done;
}

/* Nobody knows which locks it holds in which mode: it has to let go of all. */
static void give_up(struct pg_ref lane)
{
    pg_break(lane, "could not move maildrop locks");
}

static void end_move(struct move *m)
{
    struct aside *a = m->all;

    pg_unbind(m->aside);
    a->moving = false;
    for (size_t i = 0; i < m->count; i++)
        a->moved(m->drops[i]);
    if (!a->store->closing)
        watch_in(a, m->pause);
    mem_free(m);
}

/* The last step of each way: on one lane, and if that fails the lane is given up. */
static void last_aside(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;

    if (!step_done(status, res))
        give_up(m->aside);
    end_move(m);
}

static void last_back(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;

    if (!step_done(status, res))
        give_up(m->from);
    end_move(m);
}

static void left(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;

    if (step_done(status, res)) {
        ask_step(m, m->aside, OWN, last_aside);
        return;
    }
    /* The old lane was lost, and perhaps somebody had the maildrops before the lane aside got its locks. */
    give_up(m->from);
    for (size_t i = 0; i < m->count; i++)
        drop_lose(m->drops[i]);
    ask_step(m, m->aside, LEAVE, last_aside);
}

static void joined(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;
    bool done = step_done(status, res);

    if (!done && status != DB_OK)
        give_up(m->aside);
    if (done && !pg_alive(m->from)) {
        ask_step(m, m->aside, LEAVE, last_aside);
    } else if (done && pg_alive(m->aside)) {
        /* What they ask from now on comes behind these steps on either lane. */
        for (size_t i = 0; i < m->count; i++)
            pg_rebind(&m->drops[i]->lane, m->aside);
        ask_step(m, m->from, LEAVE, left);
    } else {
        /* No slots left in the lock table, most likely: not again at once. */
        m->pause = REFUSED_PAUSE_MS;
        ask_step(m, m->from, OWN, last_back);
    }
}

/* False: it is not there. */
static bool take_pass(struct move *m, enum db_status status, const PGresult *res)
{
    struct span pass;

    if (status != DB_OK || PQntuples(res) != 1 || !pg_get_int8(res, 0, COL_UNTIL, &m->until) ||
        !pg_get_bytes(res, 0, COL_PASS, &pass) || pass.len != sizeof m->pass)
        return false;
    memcpy(m->pass, pass.at, sizeof m->pass);
    return true;
}

static void shared(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;
    bool passed = take_pass(m, status, res);

    if (step_done(status, res) && passed) {
        ask_step(m, m->aside, JOIN, joined);
    } else {
        give_up(m->from);
        end_move(m);
    }
}

/* ---- whom */

static void choose(struct drop *drop, void *arg)
{
    struct move *m = arg;
    uint64_t read_at = drop_read_at(drop), since = read_at > drop->opened_at ? read_at : drop->opened_at;

    if (m->count == BATCH || drop->state != DROP_OPEN || drop_read_waits(drop) || !pg_alive(drop->lane) ||
        drop->lane.lane == m->aside.lane || loop_now(m->all->store->loop) - since < m->all->rest)
        return;
    if (m->count == 0)
        m->from = drop->lane;
    if (drop->lane.lane == m->from.lane)
        m->drops[m->count++] = drop;
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
    m->all = a;
    m->aside = aside;
    held_each(&store->held, choose, m);
    m->pause = m->count == BATCH ? 0 : TICK_MS;
    if (m->count == 0) {
        end_move(m);
        return;
    }
    log_debug(NULL, "moving %zu maildrop locks aside", m->count);
    a->moving = true;
    for (size_t i = 0; i < m->count; i++)
        m->drops[i]->moving = true;
    ask_step(m, m->from, SHARE, shared);
}
