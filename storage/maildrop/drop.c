/*
 * drop.c - a maildrop from the lock to the commit.
 *
 *   drop_open()    OPENING --+--> OPEN   the session has it
 *                            +--> (gone) locked elsewhere, not found, unconfirmed: no lock was taken
 *                            +--> CLOSING   the statement failed, or the asker has left: unlock in any case
 *   drop_finish()  OPEN -------> CLOSING --> (gone)   after the move, if it is just moved aside
 *
 * Never tells that something was removed before its commit was answered, and
 * never forgets a maildrop of which it is not known that the lock was given
 * back.
 */
#include "storage/maildrop/drop.h"

#include "daemon/base/idmap.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/sql.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/listing.h"
#include "storage/maildrop/listing_cache.h"
#include "storage/pg/pg_array.h"
#include "storage/maildrop/store_impl.h"
#include "storage/maildrop/takeover.h"

enum { CLOSE_TRIES = 3 };

/* Columns of PG_OPEN and of PG_EXPUNGE. */
enum { COL_OUTCOME, COL_UIDVALIDITY, COL_NEXT_UID, COL_EXPUNGES, COL_WHOLE, COL_UIDS, COL_OCTETS, COL_UIDLS };
enum { COL_REMOVED, COL_EXPUNGES_NOW, COL_DEFERRED };
/* What open_maildrop() says. */
enum { OUTCOME_LOCKED_AND_LISTED, OUTCOME_IN_USE, OUTCOME_NO_MAILBOX };

static void ask_close(struct drop *drop);
static void ask_open(struct drop *drop);
static bool expunge_again(struct drop *drop);

void drop_charge(struct drop *drop)
{
    if (drop->store->closing)       /* nobody hears of it, and what could tell the time is going */
        return;
    drop->cost.statements++;
    drop->cost.us += pg_took_us(drop->store->pg);
}

/* ---- ends */

/* The lock is not held, or not ours any more. */
static void drop_end(struct drop *drop)
{
    struct store *store = drop->store;

    held_remove(&store->held, drop);
    takeover_ended(drop);
    pg_unbind(drop->lane);
    listing_release(&drop->listing);
    mem_free(drop->marks);
    mem_free(drop->retrieved);
    mem_free(drop);
}

/* Tells the asker of drop_open() that it failed, if they are still there. */
static void open_failed(struct drop *drop)
{
    struct store *store = drop->store;
    drop_opened *opened = idmap_take(store->opens, drop->open_id) != NULL && !store->closing ? drop->opened : NULL;
    void *owner = drop->owner;
    enum db_status status = drop->status;

    store->cost = drop->cost;
    drop_end(drop);
    if (opened != NULL)
        opened(owner, status, NULL);
}

static void finished(struct drop *drop)
{
    drop_done *done = !drop->store->closing ? drop->done : NULL;
    void *owner = drop->owner;
    enum db_status status = drop->status;

    drop->store->cost = drop->cost;
    drop_end(drop);
    if (done != NULL)
        done(owner, status);
}

static void close_answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;
    bool was_held = false;
    bool opened = drop->open_id == 0;

    drop_charge(drop);
    if (status == DB_OK && pg_get_bool(res, 0, 0, &was_held) && !was_held && opened)
        log_error(drop->session,
                  "mailbox=%s: its lock was not held by the connection that took it; is there a connection pooler "
                  "that shares connections between transactions?",
                  mailbox_text(&drop->mailbox).s);
    PQclear(res);
    if (status == DB_RETRY || status == DB_BUG) {
        /* The lock may still be held, and would be as long as the lane lives. */
        if (drop->close_tries < CLOSE_TRIES) {
            ask_close(drop);
            return;
        }
        pg_break(drop->lane, "could not unlock a maildrop");
    }
    if (status == DB_OK && opened && expunge_again(drop))
        return;
    /* With the lane the lock has gone too: the end is as good, but who marked nothing was told nothing yet. */
    if (status == DB_LOST && opened && drop->marks == NULL)
        drop->status = DB_LOST;
    if (opened)
        finished(drop);
    else
        open_failed(drop);
}

static void ask_close(struct drop *drop)
{
    struct pg_args args = PG_ARGS_EMPTY;

    drop->state = DROP_CLOSING;
    drop->close_tries++;
    pg_arg_mailbox(&args, &drop->mailbox);
    pg_ask(drop->store->pg, drop->lane, PG_CLOSE, &args, close_answered, drop);
}

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
    pg_arg_bytes(args, span_str(drop->session));
    pg_arg_bytes(args, span_str(drop->peer));
    pg_arg_int8(args, (int64_t)(loop_now(drop->store->loop) - drop->opened_at));
    pg_arg_bytes(args, marked_uids(drop, drop->retrieved, RETRIEVED, drop->retrieved_count, uids));
    pg_arg_int8(args, (int64_t)drop->retrieved_octets);
}

/* ---- opening */

static struct span array_of(const PGresult *res, int column)
{
    struct span s = { NULL, 0 };
    pg_get_bytes(res, 0, column, &s);
    return s;
}

/*
 * The listing that this answer means: the cached one, the same and what is new, or a whole one.
 * NULL if it makes no sense.
 */
static struct listing *read_listing(struct drop *drop, const PGresult *res, const char **error_r)
{
    struct listing_state state;
    bool whole;

    *error_r = "a column is null";
    if (!pg_get_int8(res, 0, COL_UIDVALIDITY, &state.uidvalidity) ||
        !pg_get_int8(res, 0, COL_NEXT_UID, &state.next_uid) || !pg_get_int8(res, 0, COL_EXPUNGES, &state.expunges) ||
        !pg_get_bool(res, 0, COL_WHOLE, &whole))
        return NULL;
    if (whole)
        listing_release(&drop->listing);
    else if (drop->listing == NULL) {
        *error_r = "only what is new, and nothing was known";
        return NULL;
    } else if (state.next_uid == listing_state(drop->listing)->next_uid)
        return listing_hold(drop->listing);
    return listing_decode(&state, drop->listing, array_of(res, COL_UIDS), array_of(res, COL_OCTETS),
                          array_of(res, COL_UIDLS), error_r);
}

/* A cached login hears of nothing but success: whoever it is has yet to be confirmed. */
static bool is_cached(const struct drop *drop)
{
    return drop->versions.proof != 0;
}

static enum db_status opened_status(struct drop *drop, const PGresult *res)
{
    int32_t outcome = -1;
    const char *error = "unknown outcome";

    if (PQntuples(res) == 1)
        pg_get_int4(res, 0, COL_OUTCOME, &outcome);
    if (outcome == OUTCOME_IN_USE)
        return is_cached(drop) ? DB_UNCONFIRMED : DB_LOCKED;
    if (outcome == OUTCOME_NO_MAILBOX)
        return is_cached(drop) ? DB_UNCONFIRMED : DB_NOT_FOUND;
    if (outcome == OUTCOME_LOCKED_AND_LISTED) {
        struct listing *listing = read_listing(drop, res, &error);
        if (listing != NULL) {
            listing_release(&drop->listing);
            drop->listing = listing;
            return DB_OK;
        }
    }
    log_error(drop->session, "database statement=OPEN mailbox=%s result=bug: %s", mailbox_text(&drop->mailbox).s,
              error);
    return DB_BUG;
}

static void open_answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;
    struct store *store = drop->store;

    drop_charge(drop);
    if (status == DB_OK)
        status = opened_status(drop, res);
    PQclear(res);
    drop->status = status;
    switch (status) {
    case DB_OK:
        break;
    case DB_LOST:       /* before it was open: nobody relies on the lock yet */
        drop->status = DB_RETRY;
        open_failed(drop);
        return;
    case DB_LOCKED:
        if (!takeover_start(drop))
            open_failed(drop);
        return;
    case DB_NOT_FOUND:  /* no lock was taken */
    case DB_UNCONFIRMED:
        open_failed(drop);
        return;
    case DB_RETRY:
    case DB_BUG:        /* a lock that was taken before the error survived it */
        ask_close(drop);
        return;
    }

    listing_cache_put(store->listings, &drop->mailbox, drop->listing);
    if (idmap_get(store->opens, drop->open_id) == NULL || store->closing) {
        ask_close(drop);    /* the asker has left */
        return;
    }
    idmap_take(store->opens, drop->open_id);
    drop->open_id = 0;
    drop->state = DROP_OPEN;
    drop->opened_at = loop_now(store->loop);
    store->open++;
    aside_watch(store);
    drop->opened(drop->owner, DB_OK, drop);
}

static void refused(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;

    (void)res;
    drop->status = status;
    open_failed(drop);
}

/* The drop is in store->held. */
static void try_open(struct drop *drop)
{
    struct store *store = drop->store;

    switch (pg_bind(store->pg, &drop->lane)) {
    case PG_WAIT:
        if (!store->closing) {
            drop->next_parked = store->parked;
            store->parked = drop;
            return;
        }
        /* fall through */
    case PG_AWAY:
        pg_later(store->pg, DB_RETRY, refused, drop);
        return;
    case PG_WRONG:
        pg_later(store->pg, DB_BUG, refused, drop);
        return;
    case PG_BOUND:
        break;
    }
    ask_open(drop);
}

static void ask_open(struct drop *drop)
{
    struct store *store = drop->store;
    struct pg_args args = PG_ARGS_EMPTY;

    listing_release(&drop->listing);
    drop->listing = listing_cache_get(store->listings, &drop->mailbox);
    pg_arg_mailbox(&args, &drop->mailbox);
    if (drop->listing != NULL) {
        const struct listing_state *state = listing_state(drop->listing);
        pg_arg_int8(&args, state->uidvalidity);
        pg_arg_int8(&args, state->next_uid);
        pg_arg_int8(&args, state->expunges);
    } else {
        pg_arg_null(&args);
        pg_arg_null(&args);
        pg_arg_null(&args);
    }
    if (is_cached(drop)) {
        pg_arg_int8(&args, drop->versions.proof);
        pg_arg_int8(&args, drop->versions.policy);
    } else {
        pg_arg_null(&args);
        pg_arg_null(&args);
    }
    pg_ask(store->pg, drop->lane, PG_OPEN, &args, open_answered, drop);
}

void drop_open_again(struct drop *drop, bool is_refused)
{
    struct store *store = drop->store;

    drop->status = DB_LOCKED;
    if (is_refused || store->closing || idmap_get(store->opens, drop->open_id) == NULL ||
        (!drop->held && !held_add(&store->held, drop)))
        open_failed(drop);
    else if (drop->lane.lane != NULL)
        ask_open(drop);
    else
        try_open(drop);
}

/* Copies a text to *at and moves it behind. */
static const char *keep_text(char **at, const char *text, size_t size)
{
    const char *kept = memcpy(*at, text, size);
    *at += size;
    return kept;
}

uint64_t drop_open(struct store *store, const struct mailbox_ref *mailbox, const struct drop_holder *holder,
                   drop_opened *done, void *owner)
{
    size_t session = strlen(holder->session) + 1, peer = strlen(holder->peer) + 1,
           protocol = strlen(holder->protocol) + 1;
    struct drop *drop = mem_zalloc(sizeof *drop + session + peer + protocol);
    char *texts = (char *)(drop + 1);

    drop->store = store;
    drop->mailbox = *mailbox;
    drop->state = DROP_OPENING;
    drop->opened = done;
    drop->owner = owner;
    drop->since = holder->since;
    drop->asked = holder->asked;
    drop->asks = holder->asks;
    drop->versions = holder->versions;
    drop->session = keep_text(&texts, holder->session, session);
    drop->peer = keep_text(&texts, holder->peer, peer);
    drop->protocol = keep_text(&texts, holder->protocol, protocol);

    uint64_t id = drop->open_id = idmap_put(store->opens, drop);
    if (held_add(&store->held, drop))
        try_open(drop);
    else if (is_cached(drop))
        pg_later(store->pg, DB_UNCONFIRMED, refused, drop);
    else if (!takeover_start(drop))
        pg_later(store->pg, DB_LOCKED, refused, drop);
    return id;
}

void drop_forget(struct store *store, uint64_t id)
{
    /* The drop goes on by itself, until it is known that it has no lock. */
    idmap_take(store->opens, id);
}

void drop_try_parked(struct store *store)
{
    struct drop *parked = store->parked;
    struct drop *in_order = NULL;

    store->parked = NULL;
    while (parked != NULL) {
        struct drop *next = parked->next_parked;
        parked->next_parked = in_order;
        in_order = parked;
        parked = next;
    }
    while (in_order != NULL) {
        struct drop *next = in_order->next_parked;
        try_open(in_order);
        in_order = next;
    }
}

/* ---- loss of a lane */

static void let_go(struct drop *drop, void *arg)
{
    struct store *store = arg;

    /* The database has released the lock with the connection: somebody else may open the maildrop now, here too. */
    if (drop->lane.lane == NULL || pg_alive(drop->lane))
        return;
    held_remove(&store->held, drop);
    store->open -= drop->state == DROP_OPEN;
}

void drop_lane_lost(struct store *store)
{
    held_each(&store->held, let_go, store);
}

void drop_lose(struct drop *drop)
{
    drop->store->open -= drop->held && drop->state == DROP_OPEN;
    held_remove(&drop->store->held, drop);
    pg_unbind(drop->lane);
    drop->lane = (struct pg_ref){ NULL, 0 };
}

bool drop_lost(const struct drop *drop)
{
    return !pg_alive(drop->lane);
}

/* ---- what is in it */

struct drop_cost drop_cost(const struct drop *drop)
{
    return drop->cost;
}

struct drop_cost store_cost(const struct store *store)
{
    return store->cost;
}

size_t drop_count(const struct drop *drop)
{
    return listing_count(drop->listing);
}

uint64_t drop_octets(const struct drop *drop)
{
    return listing_octets(drop->listing);
}

uint64_t drop_message_octets(const struct drop *drop, size_t i)
{
    return listing_message_octets(drop->listing, i);
}

size_t drop_message_uidl(const struct drop *drop, size_t i, char out[UIDL_MAX])
{
    return listing_uidl(drop->listing, i, out);
}

void drop_note_retrieved(struct drop *drop, size_t i)
{
    if (drop->retrieved == NULL)
        drop->retrieved = mem_array(listing_count(drop->listing), 1);
    if (drop->retrieved[i] != RETRIEVED_NOT)
        return;
    drop->retrieved[i] = RETRIEVED_UNDER_WAY;
    if (drop->under_way == drop->under_way_end) {
        drop->under_way = i;
        drop->under_way_end = i + 1;
    } else if (i < drop->under_way) {
        drop->under_way = i;
    } else if (i >= drop->under_way_end) {
        drop->under_way_end = i + 1;
    }
}

void drop_note_sent(struct drop *drop)
{
    for (size_t i = drop->under_way; i < drop->under_way_end; i++)
        if (drop->retrieved[i] == RETRIEVED_UNDER_WAY) {
            drop->retrieved[i] = RETRIEVED;
            drop->retrieved_count++;
            drop->retrieved_octets += listing_message_octets(drop->listing, i);
        }
    drop->under_way = drop->under_way_end = 0;
}

/* ---- the end */

static void expunge_answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;
    int64_t removed = -1, expunges = -1;
    bool deferred = false;

    drop_charge(drop);
    drop->status = status;
    drop->conflict = status != DB_OK && sql_is_conflict(pg_sqlstate(drop->store->pg));
    if (status == DB_OK &&
        (PQntuples(res) != 1 || !pg_get_int8(res, 0, COL_REMOVED, &removed) ||
         !pg_get_int8(res, 0, COL_EXPUNGES_NOW, &expunges) || !pg_get_bool(res, 0, COL_DEFERRED, &deferred)))
        /* It is committed all the same; only the listing cannot be told of it, and the next login finds it outdated. */
        log_error(drop->session, "database statement=EXPUNGE mailbox=%s result=bug: a column is null",
                  mailbox_text(&drop->mailbox).s);
    PQclear(res);
    if (deferred)
        reclaim_start(drop->store);

    /*
     * One removal since the listing was made, and it was ours and complete:
     * then what is left of the listing is true. (Where an operator removed
     * messages meanwhile, one of the two does not match.)
     */
    if (removed > 0 && (size_t)removed == drop->marked && expunges == listing_state(drop->listing)->expunges + 1) {
        struct listing *left = listing_without(drop->listing, drop->marks);
        listing_cache_put(drop->store->listings, &drop->mailbox, left);
        listing_release(&left);
    }
}

/* All in one statement, and the unlocking behind it in a transaction of its own: after the commit. */
static void ask_expunge(struct drop *drop, pg_answer *answer)
{
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf uids = BUF_EMPTY, retrieved = BUF_EMPTY;

    pg_arg_mailbox(&args, &drop->mailbox);
    pg_arg_bytes(&args, marked_uids(drop, drop->marks, 1, drop->marked, &uids));
    session_args(drop, &args, &retrieved);
    pg_ask(drop->store->pg, drop->lane, PG_EXPUNGE, &args, answer, drop);
    buf_free(&uids);
    buf_free(&retrieved);
}

static void expunge_answered_again(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;

    expunge_answered(drop, status, res);
    /* Somebody else has the maildrop by now: of this deletion it is certain that nothing was done. */
    if (status == DB_LOST && strcmp(pg_sqlstate(drop->store->pg), "PN423") == 0)
        drop->status = DB_RETRY;
    if (!expunge_again(drop))
        finished(drop);
}

/*
 * It was rolled back, as another transaction and this one were in each other's
 * way. The unlocking behind it has been done by now; expunge() takes the lock
 * once more for its own transaction, and removes nothing where somebody else
 * has it. In this process nobody opens the maildrop before the drop has ended.
 */
static bool expunge_again(struct drop *drop)
{
    if (!drop->conflict || ++drop->expunge_tries >= SQL_TRIES || !pg_alive(drop->lane))
        return false;
    log_debug(drop->session, "mailbox=%s: the deletion conflicted with another transaction, retrying",
              mailbox_text(&drop->mailbox).s);
    ask_expunge(drop, expunge_answered_again);
    return true;
}

static void ask_end(struct drop *drop)
{
    if (drop->marked > 0)
        ask_expunge(drop, expunge_answered);
    else if (drop->retrieved_count > 0)
        history_add(drop);
    ask_close(drop);
}

/* Kept until the database has them, if there are any. */
static void take_marks(struct drop *drop, const unsigned char *marks)
{
    size_t count = listing_count(drop->listing);

    for (size_t i = 0; i < count; i++)
        drop->marked += marks[i] != 0;
    if (drop->marked == 0)
        return;
    drop->marks = mem_alloc(count);
    memcpy(drop->marks, marks, count);
}

void drop_finish(struct drop **dropp, const unsigned char *marks, drop_done *done, void *owner)
{
    struct drop *drop = *dropp;

    *dropp = NULL;
    ASSERT(drop->state == DROP_OPEN);
    drop_read_end(drop);
    drop->store->open -= drop->held;
    drop->done = done;
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
