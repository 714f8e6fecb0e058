/*
 * reclaim.c - removing what a large deletion left behind, off the path of its QUIT.
 *
 * A batch at a time, over the least busy lane, with a pause behind each, so
 * that sessions which share that lane wait for one small batch at most. What
 * stays undone (a lane that was lost, a worker that ends) is found by the next
 * large deletion, or by `posternctl expire`.
 */
#include "daemon/net/loop.h"
#include "storage/maildrop/store_impl.h"

/* Some 10 ms of the database's time, and then some for everybody else. */
enum { BATCH_OCTETS = 2 << 20, PAUSE_MS = 20 };

static void reclaimed(void *arg, enum db_status status, PGresult *res)
{
    struct store *store = arg;
    bool more = false;

    if (status == DB_OK)
        pg_get_bool(res, 0, 0, &more);
    PQclear(res);
    store->reclaiming = more && !store->closing;
    if (store->reclaiming)
        timer_set(store->reclaim_timer, PAUSE_MS);
}

void reclaim_next(void *arg)
{
    struct store *store = arg;
    struct pg_args args = PG_ARGS_EMPTY;
    struct pg_ref lane;

    if (pg_bind(store->pg, &lane) != PG_BOUND) {
        store->reclaiming = false;
        return;
    }
    pg_arg_int8(&args, BATCH_OCTETS);
    pg_ask(store->pg, lane, PG_RECLAIM, &args, reclaimed, store);
    pg_unbind(lane);
}

void reclaim_start(struct store *store)
{
    if (store->reclaiming || store->closing)
        return;
    store->reclaiming = true;
    timer_set(store->reclaim_timer, PAUSE_MS);
}
