/*
 * reclaim.c - removing what a large deletion left behind, off the path of its QUIT.
 *
 * A batch at a time, over the least busy lane, with a pause behind each, so
 * that sessions which share that lane wait for one small batch at most. What
 * stays undone (a lane that was lost, a worker that ends) is found by the next
 * large deletion, or by `posternctl expire`.
 */
#include "storage/maildrop/reclaim.h"

#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"

/* Some 10 ms of the database's time, and then some for everybody else. */
enum { BATCH_OCTETS = 2 << 20, PAUSE_MS = 20 };

static void reclaimed(void *arg, enum db_status status, PGresult *res)
{
    struct reclaim *r = arg;
    bool more = false;

    if (status == DB_OK)
        pg_get_bool(res, 0, 0, &more);
    PQclear(res);
    r->busy = more && !r->store->closing;
    if (r->busy)
        timer_set(r->timer, PAUSE_MS);
}

void reclaim_next(void *arg)
{
    struct reclaim *r = arg;
    struct pg_args args = PG_ARGS_EMPTY;
    struct pg_ref lane;

    if (pg_bind(r->store->pg, &lane) != PG_BOUND) {
        r->busy = false;
        return;
    }
    pg_arg_int8(&args, BATCH_OCTETS);
    pg_ask(r->store->pg, lane, PG_RECLAIM, &args, reclaimed, r);
    pg_unbind(lane);
}

void reclaim_start(struct reclaim *r)
{
    if (r->busy || r->store->closing)
        return;
    r->busy = true;
    timer_set(r->timer, PAUSE_MS);
}

struct reclaim *reclaim_new(struct store *store)
{
    struct reclaim *r = mem_zalloc(sizeof *r);

    r->store = store;
    r->timer = timer_new(store->loop, reclaim_next, r);
    return r;
}

void reclaim_free(struct reclaim **reclaim)
{
    timer_free(&(*reclaim)->timer);
    mem_free(*reclaim);
    *reclaim = NULL;
}
