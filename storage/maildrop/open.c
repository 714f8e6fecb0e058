/*
 * open.c - drop_open(): the lock and the listing, in one statement.
 *
 *   OPENING --+--> OPEN      the session has it
 *             +--> (gone)    locked elsewhere, not found, unconfirmed: no lock was taken
 *             +--> CLOSING   the statement failed, or the asker has left: unlock in any case
 */
#include "storage/maildrop/open.h"

#include "daemon/base/idmap.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/aside.h"
#include "storage/maildrop/close.h"
#include "storage/maildrop/list_rest.h"
#include "storage/maildrop/listing.h"
#include "storage/maildrop/listing_cache.h"
#include "storage/maildrop/login_lane.h"
#include "storage/maildrop/takeover.h"

/* Columns of PG_OPEN. */
enum { COL_OUTCOME, COL_UIDVALIDITY, COL_NEXT_UID, COL_EXPUNGES, COL_WHOLE, COL_UIDS, COL_OCTETS, COL_UIDLS };
/* What open_maildrop() says. */
enum { OUTCOME_LOCKED_AND_LISTED, OUTCOME_IN_USE, OUTCOME_NO_MAILBOX };

static void ask_open(struct drop *drop);

/* Tells the asker of drop_open() that it failed, if they are still there. */
static void open_failed(struct drop *drop)
{
    struct store *store = drop->store;
    bool awaited = idmap_take(store->opens.askers, drop->opening.id) != NULL && !store->closing;
    drop_opened *opened = awaited ? drop->opening.opened : NULL;
    void *owner = drop->owner;
    enum db_status status = drop->status;

    drop_end(drop);
    if (opened != NULL)
        opened(owner, status, NULL);
}

static void closed(struct drop *drop, enum db_status status)
{
    (void)status;
    open_failed(drop);
}

/* ---- the answer */

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

    drop->opening.came = 0;
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
    struct listing *l = listing_decode(&state, drop->listing, array_of(res, COL_UIDS), array_of(res, COL_OCTETS),
                                       array_of(res, COL_UIDLS), error_r);
    if (l != NULL)
        drop->opening.came = listing_count(l) - (drop->listing != NULL ? listing_count(drop->listing) : 0);
    return l;
}

/* Uids and deletions are only counted up, so this server knows less than the one that the listing came from. */
static bool has_gone_back(const struct drop *drop, const PGresult *res)
{
    struct listing_state is;

    if (drop->listing == NULL || !pg_get_int8(res, 0, COL_UIDVALIDITY, &is.uidvalidity) ||
        !pg_get_int8(res, 0, COL_NEXT_UID, &is.next_uid) || !pg_get_int8(res, 0, COL_EXPUNGES, &is.expunges))
        return false;
    const struct listing_state *was = listing_state(drop->listing);
    return is.uidvalidity == was->uidvalidity && (is.next_uid < was->next_uid || is.expunges < was->expunges);
}

/* A cached login hears of nothing but success: whoever it is has yet to be confirmed. */
static bool is_cached(const struct drop *drop)
{
    return drop->opening.versions.proof != 0;
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
    if (outcome == OUTCOME_LOCKED_AND_LISTED && has_gone_back(drop, res)) {
        /* The next login is given what the server has now: the operator has to say whether that is right. */
        listing_cache_forget(drop->store->listings, &drop->place.mailbox);
        log_error(drop->who.session, "mailbox %s is older in the database than it was at its last opening: was a backup"
                                     " restored, or does a server answer that another one has replaced?",
                  mailbox_text(&drop->place.mailbox).s);
        return DB_RETRY;
    }
    if (outcome == OUTCOME_LOCKED_AND_LISTED) {
        struct listing *listing = read_listing(drop, res, &error);
        if (listing != NULL) {
            listing_release(&drop->listing);
            drop->listing = listing;
            return DB_OK;
        }
    }
    log_error(drop->who.session, "database statement=OPEN mailbox=%s result=bug: %s",
              mailbox_text(&drop->place.mailbox).s, error);
    return DB_BUG;
}

/* It came too late, most likely, or its key is not known any more: nothing was locked. */
static void ticket_refused(struct drop *drop)
{
    drop->status = is_cached(drop) ? DB_UNCONFIRMED : DB_RETRY;
    open_failed(drop);
}

/* It has the lock, and with DB_OK all of the listing. */
static void listed(struct drop *drop, enum db_status status)
{
    struct store *store = drop->store;

    if (status != DB_OK) {
        drop->status = status == DB_BUG ? DB_BUG : DB_RETRY;
        drop_close(drop, closed);
        return;
    }
    listing_cache_put(store->listings, &drop->place.mailbox, pg_server(drop->lane), drop->listing);
    if (!drop_is_awaited(drop) || store->closing) {
        drop_close(drop, closed);    /* the asker has left */
        return;
    }
    idmap_take(store->opens.askers, drop->opening.id);
    drop->opening.id = 0;
    drop->state = DROP_OPEN;
    drop->opened_at = loop_now(store->loop);
    store->open++;
    aside_watch(store->aside);
    drop->opening.opened(drop->owner, DB_OK, drop);
}

static void open_answered(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;
    struct store *store = drop->store;

    drop_charge(drop);
    if (status == DB_OK)
        status = opened_status(drop, res);
    PQclear(res);
    if (status == DB_RETRY && strcmp(pg_sqlstate(store->pg), "PN401") == 0) {
        ticket_refused(drop);
        return;
    }
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
    case DB_ONE_SERVER: /* that is of a deletion */
        open_failed(drop);
        return;
    case DB_RETRY:
    case DB_BUG:        /* a lock that was taken before the error survived it */
        drop_close(drop, closed);
        return;
    }
    list_rest(drop, listed);
}

static void refused(void *arg, enum db_status status, PGresult *res)
{
    struct drop *drop = arg;

    (void)res;
    drop->status = status;
    open_failed(drop);
}

/* ---- the question */

/* The drop is in store->held. Its ticket is for the lane that it has, and opens nothing on another. */
static void try_open(struct drop *drop)
{
    struct store *store = drop->store;

    if (pg_alive(drop->lane))
        ask_open(drop);
    else if (drop->opening.bound == PG_WRONG)
        pg_later(store->pg, DB_BUG, refused, drop);
    else
        /* Another lane is there already: who can, asks for another ticket. */
        pg_later(store->pg, is_cached(drop) && pg_lanes_up(store->pg) > 0 ? DB_UNCONFIRMED : DB_RETRY, refused, drop);
}

static void ask_open(struct drop *drop)
{
    struct store *store = drop->store;
    struct pg_args args = PG_ARGS_EMPTY;

    listing_release(&drop->listing);
    drop->listing = listing_cache_get(store->listings, &drop->place.mailbox, pg_server(drop->lane));
    pg_arg_mailbox(&args, &drop->place.mailbox);
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
        pg_arg_int8(&args, drop->opening.versions.proof);
        pg_arg_int8(&args, drop->opening.versions.policy);
    } else {
        pg_arg_null(&args);
        pg_arg_null(&args);
    }
    pg_arg_bytes(&args, mailbox_ticket_span(&drop->ticket));
    pg_ask_grouped(store->pg, drop->lane, PG_OPEN, &args, open_answered, drop);
}

void drop_open_again(struct drop *drop, bool is_refused)
{
    struct store *store = drop->store;

    drop->status = DB_LOCKED;
    if (is_refused || store->closing || !drop_is_awaited(drop) ||
        (!drop->place.there && !held_add(&store->held, &drop->place)))
        open_failed(drop);
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

uint64_t drop_open(struct store *store, struct login_lane **lane, const struct mailbox_ref *mailbox,
                   const struct drop_holder *holder, drop_opened *done, void *owner)
{
    size_t session = strlen(holder->session) + 1, peer = strlen(holder->peer) + 1,
           protocol = strlen(holder->protocol) + 1;
    struct drop *drop = mem_zalloc(sizeof *drop + session + peer + protocol);
    char *texts = (char *)(drop + 1);

    drop->store = store;
    drop->place.mailbox = *mailbox;
    drop->place.drop = drop;
    drop->state = DROP_OPENING;
    drop->opening.opened = done;
    drop->owner = owner;
    drop->who.since = holder->since;
    drop->who.asked = holder->asked;
    drop->who.asks = holder->asks;
    drop->opening.versions = holder->versions;
    drop->opening.bound = login_lane_take(lane, &drop->lane);
    drop->ticket = holder->ticket;
    drop->who.session = keep_text(&texts, holder->session, session);
    drop->who.peer = keep_text(&texts, holder->peer, peer);
    drop->who.protocol = keep_text(&texts, holder->protocol, protocol);

    uint64_t id = drop->opening.id = idmap_put(store->opens.askers, drop);
    if (held_add(&store->held, &drop->place))
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
    idmap_take(store->opens.askers, id);
}
