/*
 * close.c - giving the lock back (see close.h).
 *
 * Never forgets a maildrop of which it is not known that the lock was given
 * back: a lane that does not do it is given up, and its locks go with it.
 */
#include "storage/maildrop/close.h"

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "storage/maildrop/takeover.h"

enum { CLOSE_TRIES = 3 };

static void ask_close(struct drop *drop);

static void close_answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;
    bool was_held = false;

    drop_charge(drop);
    if (status == DB_OK && pg_get_bool(res, 0, 0, &was_held) && !was_held && drop->opening.id == 0)
        log_error(drop->who.session,
                  "mailbox=%s: its lock was not held by the connection that took it; is there a connection pooler "
                  "that shares connections between transactions?",
                  mailbox_text(&drop->place.mailbox).s);
    PQclear(res);
    if (status == DB_RETRY || status == DB_BUG) {
        /* The lock may still be held, and would be as long as the lane lives. */
        if (drop->closing.tries < CLOSE_TRIES) {
            ask_close(drop);
            return;
        }
        pg_break(drop->lane, "could not unlock a maildrop");
    }
    drop->closing.closed(drop, status);
}

static void ask_close(struct drop *drop)
{
    struct pg_args args = PG_ARGS_EMPTY;

    drop->closing.tries++;
    pg_arg_mailbox(&args, &drop->place.mailbox);
    pg_ask_grouped(drop->store->pg, drop->lane, PG_CLOSE, &args, close_answered, drop);
}

void drop_close(struct drop *drop, drop_closed *closed)
{
    drop->state = DROP_CLOSING;
    drop->closing.closed = closed;
    if (drop->reading > 0)      /* such a question may wait for others, and be sent behind this one */
        drop->closing.waits = true;
    else
        ask_close(drop);
}

void close_after_reading(struct drop *drop)
{
    if (drop->reading > 0 || !drop->closing.waits)
        return;
    drop->closing.waits = false;
    ask_close(drop);
}

void drop_end(struct drop *drop)
{
    struct store *store = drop->store;

    store->cost = drop->cost;
    held_remove(&store->held, &drop->place);
    takeover_ended(drop);
    pg_unbind(drop->lane);
    listing_release(&drop->listing);
    retrieved_free(&drop->retrieved);
    mem_free(drop->ending.marks);
    mem_free(drop);
}
