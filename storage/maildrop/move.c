/*
 * move.c - moves maildrop locks from one connection to another (see move.h).
 *
 * A move is four statements (move_locks in sql/schema/03_maildrop.sql):
 *
 *     share on the old lane --> join on the new one --> leave on the old one --> own on the new one
 *
 * Never without a lock that keeps others out: that leaving found the lock still
 * there proves that the new one was taken under it. Where the old lane was
 * lost before that, so was the session, whatever the new one holds. A drop
 * does not end while it is moved, as its unlocking would have no right place.
 */
#include "storage/maildrop/move.h"

#include "daemon/base/mem.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/pg/pg_array.h"

enum { SHARE = 1, JOIN, LEAVE, OWN };
/* Columns of PG_MOVE_LOCKS. */
enum { COL_FAILED, COL_UNTIL, COL_PASS };

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
        pg_arg_int4(&args, pg_backend_pid(m->to));
    else
        pg_arg_null(&args);
    if (step == JOIN) {
        pg_arg_int8(&args, m->until);
        pg_arg_bytes(&args, (struct span){ (const char *)m->pass, sizeof m->pass });
    } else {
        pg_arg_null(&args);
        pg_arg_null(&args);
    }
    pg_ask(m->store->pg, lane, PG_MOVE_LOCKS, &args, answer, m);
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

/* The last step of each way: on one lane, and if that fails the lane is given up. */
static void last_there(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;

    if (!step_done(status, res))
        give_up(m->to);
    m->ended(m);
}

static void last_back(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;

    if (!step_done(status, res))
        give_up(m->from);
    m->ended(m);
}

static void left(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;

    if (step_done(status, res)) {
        ask_step(m, m->to, OWN, last_there);
        return;
    }
    /* The old lane was lost, and perhaps somebody had the maildrops before the new one got its locks. */
    give_up(m->from);
    for (size_t i = 0; i < m->count; i++)
        drop_lose(m->drops[i]);
    ask_step(m, m->to, LEAVE, last_there);
}

static void joined(void *arg, enum db_status status, PGresult *res)
{
    struct move *m = arg;
    bool done = step_done(status, res);

    if (!done && status != DB_OK)
        give_up(m->to);
    if (done && !pg_alive(m->from)) {
        ask_step(m, m->to, LEAVE, last_there);
    } else if (done && pg_alive(m->to)) {
        /* What they ask from now on comes behind these steps on either lane. */
        for (size_t i = 0; i < m->count; i++)
            pg_rebind(&m->drops[i]->lane, m->to);
        ask_step(m, m->from, LEAVE, left);
    } else {
        /* No slots left in the lock table, most likely: not again at once. */
        m->refused = true;
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
        ask_step(m, m->to, JOIN, joined);
    } else {
        give_up(m->from);
        m->ended(m);
    }
}

void move_start(struct move *m)
{
    for (size_t i = 0; i < m->count; i++)
        m->drops[i]->moving = true;
    ask_step(m, m->from, SHARE, shared);
}
