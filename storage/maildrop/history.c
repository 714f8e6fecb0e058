/*
 * history.c - what sessions that retrieved something and deleted nothing leave
 * for the history of their mailboxes.
 *
 * Gathered, and written after a second, or when it has become much: a
 * transaction that writes, for each of them, is what costs. So a session's end
 * neither asks for it nor waits for it. (One that deletes leaves its row in the
 * transaction that deletes.) What a process that is killed has gathered is
 * lost; the history is a help, not a promise.
 */
#include "storage/maildrop/history.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/listing.h"
#include "storage/pg/pg_array.h"

enum {
    WAIT_MS = 1000,
    MANY_SESSIONS = 256,
    MANY_MESSAGES = HISTORY_MANY,   /* where the policy notes each of them that is some 50 ms of the database's time */
    TOO_MANY = 16,              /* so many times as much: the database is away */
    END_MS = 2000,              /* for what is written at the end of the process */
};

/* Of history.arrays. */
enum { MAILBOXES, SESSIONS, PEERS, OPENED, CLOSED, OCTETS, MESSAGES, RETRIEVED_UIDS, TICKETS };

static bool is_much(const struct history *h, size_t times)
{
    return h->sessions >= times * MANY_SESSIONS || h->messages >= times * MANY_MESSAGES;
}

static void forget(struct history *h)
{
    for (size_t i = 0; i < sizeof h->arrays / sizeof h->arrays[0]; i++)
        buf_free(&h->arrays[i]);
    h->sessions = h->messages = 0;
}

static void written(void *arg, enum db_status status, PGresult *res)
{
    struct history *h = arg;

    PQclear(res);
    h->under_way--;
    if (status != DB_OK)
        /* Not again: where the connection was lost it may have been written. */
        log_warning(NULL, "sessions of the last seconds are missing from the history: status=%s",
                    db_status_name(status));
}

static void ask(struct history *h, struct pg_ref lane)
{
    struct pg_args args = PG_ARGS_EMPTY;

    pg_arg_int8(&args, (int64_t)loop_now(h->store->loop));
    for (size_t i = 0; i < sizeof h->arrays / sizeof h->arrays[0]; i++) {
        pg_array_set_count(&h->arrays[i], (uint32_t)(i == RETRIEVED_UIDS ? h->messages : h->sessions));
        pg_arg_bytes(&args, buf_span(&h->arrays[i]));
    }
    h->under_way++;
    pg_ask(h->store->pg, lane, PG_NOTE_SESSIONS, &args, written, h);
}

static void history_write(void *arg)
{
    struct history *h = arg;
    struct pg_ref lane;

    if (h->sessions == 0)
        return;
    if (pg_bind(h->store->pg, &lane) == PG_BOUND) {
        timer_stop(h->timer);
        ask(h, lane);
        pg_unbind(lane);
        forget(h);
    } else if (is_much(h, TOO_MANY)) {
        log_warning(NULL, "%zu sessions are missing from the history: the database is unavailable", h->sessions);
        timer_stop(h->timer);
        forget(h);
    } else if (!h->store->closing) {
        timer_set(h->timer, WAIT_MS);
    }
}

static void begin(struct history *h)
{
    for (size_t i = 0; i < sizeof h->arrays / sizeof h->arrays[0]; i++)
        pg_array_begin(&h->arrays[i], i == SESSIONS || i == PEERS ? PG_TEXT : i == TICKETS ? PG_BYTEA : PG_INT8);
    timer_set(h->timer, WAIT_MS);
}

static void gather(struct history *h, const struct drop *drop)
{
    if (h->sessions == 0)
        begin(h);
    pg_array_put_mailbox(&h->arrays[MAILBOXES], &drop->place.mailbox);
    pg_array_put_bytes(&h->arrays[SESSIONS], span_str(drop->who.session));
    pg_array_put_bytes(&h->arrays[PEERS], span_str(drop->who.peer));
    pg_array_put_int8(&h->arrays[OPENED], (int64_t)drop->opened_at);
    pg_array_put_int8(&h->arrays[CLOSED], (int64_t)loop_now(h->store->loop));
    pg_array_put_int8(&h->arrays[OCTETS], (int64_t)drop->retrieved.octets);
    pg_array_put_int8(&h->arrays[MESSAGES], (int64_t)drop->retrieved.count);
    pg_array_put_bytes(&h->arrays[TICKETS], mailbox_ticket_span(&drop->ticket));
    for (size_t i = 0, count = listing_count(drop->listing); i < count; i++)
        if (drop->retrieved.marks[i] == RETRIEVED_DONE)
            pg_array_put_int8(&h->arrays[RETRIEVED_UIDS], listing_uid(drop->listing, i));
    h->sessions++;
    h->messages += drop->retrieved.count;
}

void history_add(struct history *h, const struct drop *drop)
{
    gather(h, drop);
    if (is_much(h, 1))
        history_write(h);
}

void history_add_alone(struct history *h, const struct drop *drop)
{
    history_write(h);
    bool is_alone = h->sessions == 0;
    gather(h, drop);
    if (!is_alone)
        return;     /* no lane for those before it: they go together, later */
    timer_stop(h->timer);
    ask(h, drop->lane);
    forget(h);
}

struct history *history_new(struct store *store)
{
    struct history *h = mem_zalloc(sizeof *h);

    h->store = store;
    h->timer = timer_new(store->loop, history_write, h);
    return h;
}

void history_end(struct history *h)
{
    uint64_t until = clock_us() + END_MS * 1000;

    history_write(h);
    while (h->under_way > 0 && clock_us() < until && pg_wait(h->store->pg, END_MS)) {
    }
}

void history_free(struct history **history)
{
    struct history *h = *history;

    *history = NULL;
    forget(h);
    timer_free(&h->timer);
    mem_free(h);
}
