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
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/listing.h"
#include "storage/pg/pg_array.h"
#include "storage/maildrop/store_impl.h"

enum {
    WAIT_MS = 1000,
    MANY_SESSIONS = 256,
    MANY_MESSAGES = 8192,       /* where the policy notes each of them that is some 50 ms of the database's time */
    TOO_MANY = 16,              /* so many times as much: the database is away */
    END_MS = 2000,              /* for what is written at the end of the process */
};

/* Of history.arrays. */
enum { MAILBOXES, SESSIONS, PEERS, OPENED, CLOSED, OCTETS, MESSAGES, RETRIEVED_UIDS };

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
    struct store *store = arg;

    PQclear(res);
    store->history.under_way--;
    if (status != DB_OK)
        /* Not again: where the connection was lost it may have been written. */
        log_warning(NULL, "sessions of the last seconds are missing from the history: status=%s",
                    db_status_name(status));
}

static void ask(struct store *store, struct pg_ref lane)
{
    struct history *h = &store->history;
    struct pg_args args = PG_ARGS_EMPTY;

    pg_arg_int8(&args, (int64_t)loop_now(store->loop));
    for (size_t i = 0; i < sizeof h->arrays / sizeof h->arrays[0]; i++) {
        pg_array_set_count(&h->arrays[i], (uint32_t)(i == RETRIEVED_UIDS ? h->messages : h->sessions));
        pg_arg_bytes(&args, buf_span(&h->arrays[i]));
    }
    h->under_way++;
    pg_ask(store->pg, lane, PG_NOTE_SESSIONS, &args, written, store);
}

static void history_write(void *arg)
{
    struct store *store = arg;
    struct history *h = &store->history;
    struct pg_ref lane;

    if (h->sessions == 0)
        return;
    if (pg_bind(store->pg, &lane) == PG_BOUND) {
        timer_stop(h->timer);
        ask(store, lane);
        pg_unbind(lane);
        forget(h);
    } else if (is_much(h, TOO_MANY)) {
        log_warning(NULL, "%zu sessions are missing from the history: the database is unavailable", h->sessions);
        timer_stop(h->timer);
        forget(h);
    } else if (!store->closing) {
        timer_set(h->timer, WAIT_MS);
    }
}

static void begin(struct history *h)
{
    for (size_t i = 0; i < sizeof h->arrays / sizeof h->arrays[0]; i++)
        pg_array_begin(&h->arrays[i], i == SESSIONS || i == PEERS ? PG_TEXT : PG_INT8);
    timer_set(h->timer, WAIT_MS);
}

void history_add(const struct drop *drop)
{
    struct store *store = drop->store;
    struct history *h = &store->history;

    if (h->sessions == 0)
        begin(h);
    pg_array_put_mailbox(&h->arrays[MAILBOXES], &drop->mailbox);
    pg_array_put_bytes(&h->arrays[SESSIONS], span_str(drop->session));
    pg_array_put_bytes(&h->arrays[PEERS], span_str(drop->peer));
    pg_array_put_int8(&h->arrays[OPENED], (int64_t)drop->opened_at);
    pg_array_put_int8(&h->arrays[CLOSED], (int64_t)loop_now(store->loop));
    pg_array_put_int8(&h->arrays[OCTETS], (int64_t)drop->retrieved_octets);
    pg_array_put_int8(&h->arrays[MESSAGES], (int64_t)drop->retrieved_count);
    for (size_t i = 0, count = listing_count(drop->listing); i < count; i++)
        if (drop->retrieved[i] == RETRIEVED)
            pg_array_put_int8(&h->arrays[RETRIEVED_UIDS], listing_uid(drop->listing, i));
    h->sessions++;
    h->messages += drop->retrieved_count;
    if (is_much(h, 1))
        history_write(store);
}

void history_init(struct store *store)
{
    store->history.timer = timer_new(store->loop, history_write, store);
}

void history_free(struct store *store)
{
    struct history *h = &store->history;
    uint64_t until = clock_ms() + END_MS;

    history_write(store);
    while (h->under_way > 0 && clock_left(until) > 0 && pg_wait(store->pg, END_MS)) {
    }
    forget(h);
    timer_free(&h->timer);
}
