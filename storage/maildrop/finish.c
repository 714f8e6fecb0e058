/*
 * finish.c - drop_finish(): the deletion, the unlocking behind it, and the word.
 *
 *   OPEN -------> CLOSING --> (gone)     after the move, if its lock is just moved aside, or
 *                                        if it is moved for the deletion (alone.c)
 *
 * Never tells that something was removed before its commit was answered.
 */
#include "storage/maildrop/finish.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/alone.h"
#include "storage/maildrop/close.h"
#include "storage/maildrop/drop_read.h"
#include "storage/maildrop/history.h"
#include "storage/maildrop/listing.h"
#include "storage/maildrop/listing_cache.h"
#include "storage/maildrop/reclaim.h"
#include "storage/pg/pg_array.h"

/* Columns of PG_EXPUNGE. */
enum { COL_REMOVED, COL_EXPUNGES_NOW, COL_DEFERRED };

/* ---- the word */

static void finished(struct drop *drop)
{
    drop_done *done = !drop->store->closing ? drop->ending.done : NULL;
    void *owner = drop->owner;
    enum db_status status = drop->status;

    alone_over(drop->store->alone, drop);
    drop_end(drop);
    if (done != NULL)
        done(owner, status);
}

static void closed(struct drop *drop, enum db_status status)
{
    /* With the lane the lock has gone too: the end is as good, but who marked nothing was told nothing yet. */
    if (status == DB_LOST && drop->ending.marks == NULL)
        drop->status = DB_LOST;
    finished(drop);
}

/* ---- the deletion */

/* The uids of the messages whose mark is at least that, `count` of them. */
static struct span marked_uids(const struct drop *drop, const unsigned char *marks, unsigned char least, size_t count,
                               struct buf *out)
{
    size_t messages = count > 0 ? listing_count(drop->listing) : 0;

    pg_array_put_head(out, (uint32_t)count);
    for (size_t i = 0; i < messages; i++)
        if (marks[i] >= least)
            pg_array_put_int8(out, listing_uid(drop->listing, i));
    return buf_span(out);
}

/* What the history is told of this session; `uids` is for those that were retrieved. */
static void session_args(const struct drop *drop, struct pg_args *args, struct buf *uids)
{
    pg_arg_bytes(args, span_str(drop->who.session));
    pg_arg_bytes(args, span_str(drop->who.peer));
    pg_arg_int8(args, (int64_t)(loop_now(drop->store->loop) - drop->opened_at));
    pg_arg_bytes(args, marked_uids(drop, drop->retrieved.marks, RETRIEVED_DONE, drop->retrieved.count, uids));
    pg_arg_int8(args, (int64_t)drop->retrieved.octets);
}

static void expunge_answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;
    int64_t removed = -1, expunges = -1;
    bool deferred = false;

    drop_charge(drop);
    /* Removed here, and there again if the standby takes over. */
    drop->status = status == DB_OK && pg_unconfirmed(drop->store->pg) ? DB_ONE_SERVER : status;
    if (status == DB_OK &&
        (PQntuples(res) != 1 || !pg_get_int8(res, 0, COL_REMOVED, &removed) ||
         !pg_get_int8(res, 0, COL_EXPUNGES_NOW, &expunges) || !pg_get_bool(res, 0, COL_DEFERRED, &deferred)))
        /* It is committed all the same; only the listing cannot be told of it, and the next login finds it outdated. */
        log_error(drop->who.session, "database statement=EXPUNGE mailbox=%s result=bug: a column is null",
                  mailbox_text(&drop->place.mailbox).s);
    PQclear(res);
    if (deferred)
        reclaim_start(drop->store->reclaim);

    /*
     * One removal since the listing was made, and it was ours and complete:
     * then what is left of the listing is true. (Where an operator removed
     * messages meanwhile, one of the two does not match.)
     */
    if (removed > 0 && (size_t)removed == drop->ending.marked &&
        expunges == listing_state(drop->listing)->expunges + 1) {
        struct listing *left = listing_without(drop->listing, drop->ending.marks);
        listing_cache_put(drop->store->listings, &drop->place.mailbox, pg_server(drop->lane), left);
        listing_release(&left);
    }
}

/* All in one statement, and the unlocking behind it in a transaction of its own: after the commit. */
static void ask_expunge(struct drop *drop)
{
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf uids = BUF_EMPTY, retrieved = BUF_EMPTY;

    pg_arg_mailbox(&args, &drop->place.mailbox);
    pg_arg_bytes(&args, marked_uids(drop, drop->ending.marks, 1, drop->ending.marked, &uids));
    session_args(drop, &args, &retrieved);
    pg_arg_bytes(&args, mailbox_ticket_span(&drop->ticket));
    pg_ask(drop->store->pg, drop->lane, PG_EXPUNGE, &args, expunge_answered, drop);
    buf_free(&uids);
    buf_free(&retrieved);
}

/*
 * A statement changes rows of each message that goes and, where the policy notes it, of each that was
 * retrieved; of the latter many go without anybody waiting for them.
 */
static bool is_long(const struct drop *drop)
{
    if (drop->ending.marked == 0)
        return drop->retrieved.count > HISTORY_MANY && !drop_lost(drop);
    return drop->ending.marked + drop->retrieved.count >= drop->store->alone->many;
}

static void ask_end(struct drop *drop)
{
    if (is_long(drop) && !drop->store->closing) {
        alone_wait(drop->store->alone, drop);
        return;
    }
    if (drop->ending.marked > 0)
        ask_expunge(drop);
    else if (drop->retrieved.count > 0)
        history_add(drop->store->history, drop);
    drop_close(drop, closed);
}

/* Kept until the database has them, if there are any. */
static void take_marks(struct drop *drop, const unsigned char *marks)
{
    size_t count = listing_count(drop->listing);

    for (size_t i = 0; i < count; i++)
        drop->ending.marked += marks[i] != 0;
    if (drop->ending.marked == 0)
        return;
    drop->ending.marks = mem_alloc(count);
    memcpy(drop->ending.marks, marks, count);
}

void drop_finish(struct drop **dropp, const unsigned char *marks, drop_done *done, void *owner)
{
    struct drop *drop = *dropp;

    *dropp = NULL;
    ASSERT(drop->state == DROP_OPEN);
    drop_read_end(drop);
    drop->store->open -= drop->place.there;
    drop->ending.done = done;
    drop->owner = owner;
    drop->status = DB_OK;
    drop->state = DROP_CLOSING;
    if (marks != NULL)
        take_marks(drop, marks);
    if (!drop->moving)
        ask_end(drop);
}

void drop_moved(struct drop *drop)
{
    drop->moving = false;
    if (drop->state == DROP_CLOSING)
        ask_end(drop);
}

void drop_end_alone(struct drop *drop, bool has_lane)
{
    if (has_lane && drop->ending.marked > 0)
        ask_expunge(drop);
    else if (has_lane)
        history_add_alone(drop->store->history, drop);
    else
        drop->status = DB_RETRY;    /* nothing was asked */
    drop_close(drop, closed);
}
