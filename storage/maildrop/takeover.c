/*
 * takeover.c - a maildrop passes from a session whose client fell silent to
 * the next good login, on whatever host either is.
 *
 *   asker   finds the maildrop locked, asks all workers by a notification
 *           (ask_release), and waits, for PATIENCE_MS at most
 *   holder  asks its session. One that is at work stays: "busy". One that is
 *           silent ends without a deletion; when its lock is given back: "free"
 *   asker   opens anew on "free", and when nothing was heard, as the answer may
 *           be lost; whatever comes of it is the answer to the login
 *
 * Within one worker there are no notifications: the set of held maildrops
 * knows both.
 *
 * Anybody who may connect to the database can send such a notification, so all
 * that one can do is to end sessions that a login could end. What an operator
 * orders, also against a session at work, is done only where the database says
 * that the sender may (is_operator): the number of the backend is the
 * database's word, not the sender's. Never lets a flood of logins, or of forged
 * questions, become a flood of notifications.
 */
#include "storage/maildrop/takeover.h"

#include "daemon/base/idmap.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"

enum {
    PATIENCE_MS = 150,      /* [IN-USE] is said within 200 ms */
    SPACING_MS = 1000,      /* between two questions about one maildrop */
    SENT_A_SECOND = 100,    /* notifications of one store */
};

static void ignore(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    (void)status;
    PQclear(res);
}

/* False: enough for this second. */
static bool may_send(struct store *store)
{
    uint64_t second = loop_now(store->loop) / 1000;

    if (second != store->takeover.second) {
        store->takeover.second = second;
        store->takeover.sent = 0;
    }
    return ++store->takeover.sent <= SENT_A_SECOND;
}

/* ---- the asker */

/*
 * False: this maildrop was asked for a moment ago, and who held it then was at work. Two that
 * share a slot forget each other.
 */
static bool may_ask(struct store *store, const struct mailbox_ref *mailbox)
{
    struct takeover_asked *slot = &store->takeover.asked[mailbox_key(mailbox) % TAKEOVER_SLOTS];
    uint64_t now = loop_now(store->loop);

    if (slot->at != 0 && mailbox_same(&slot->mailbox, mailbox) && now - slot->at < SPACING_MS)
        return false;
    if (!may_send(store))
        return false;
    *slot = (struct takeover_asked){ *mailbox, now };
    return true;
}

static void wait_for_answer(struct drop *drop)
{
    struct store *store = drop->store;

    drop->waits_until = loop_now(store->loop) + PATIENCE_MS;
    drop->next_waiting = store->takeover.waiting;
    store->takeover.waiting = drop;
    drop->has_waited = true;
    if (drop->next_waiting == NULL)     /* else it is set for one that is due before */
        timer_set(store->takeover.timer, PATIENCE_MS);
}

/* Its session is here, in this worker. */
static bool ask_here(struct drop *drop, struct drop *holder)
{
    if (holder->state == DROP_OPENING)
        return false;
    if (holder->state == DROP_OPEN && (holder->asked == NULL || !holder->asked(holder->owner, drop->session, false)))
        return false;
    wait_for_answer(drop);
    return true;
}

bool takeover_start(struct drop *drop)
{
    struct store *store = drop->store;
    struct drop *holder = drop->held ? NULL : held_find(&store->held, &drop->mailbox);
    struct pg_args args = PG_ARGS_EMPTY;
    struct pg_ref listener;

    if (!drop->asks || drop->has_waited || store->closing || idmap_get(store->opens, drop->open_id) == NULL)
        return false;
    if (!drop->held)
        return holder != NULL && ask_here(drop, holder);
    listener = pg_listener(store->pg);
    if (listener.lane == NULL || !may_ask(store, &drop->mailbox))
        return false;
    pg_arg_mailbox(&args, &drop->mailbox);
    pg_arg_bytes(&args, span_str(pg_reply_channel(store->pg)));
    pg_arg_bytes(&args, span_str(drop->session));
    pg_ask(store->pg, listener, PG_ASK_RELEASE, &args, ignore, NULL);
    wait_for_answer(drop);
    return true;
}

void takeover_answered(struct store *store, const struct mailbox_ref *mailbox, bool is_free)
{
    for (struct drop *d = store->takeover.waiting; d != NULL; d = d->next_waiting)
        if (mailbox_same(&d->mailbox, mailbox) && d->held) {
            d->waits_until = 0;
            d->refused = !is_free;
            timer_set(store->takeover.timer, 0);
        }
}

void takeover_due(void *arg)
{
    struct store *store = arg;
    struct drop *all = store->takeover.waiting, *due = NULL;
    uint64_t now = loop_now(store->loop), next = UINT64_MAX;

    store->takeover.waiting = NULL;
    while (all != NULL) {
        struct drop *drop = all, **to = &store->takeover.waiting;

        all = drop->next_waiting;
        if (store->closing || drop->waits_until <= now)
            to = &due;
        else if (drop->waits_until < next)
            next = drop->waits_until;
        drop->next_waiting = *to;
        *to = drop;
    }
    if (next != UINT64_MAX)
        timer_set(store->takeover.timer, next - now);
    /* These may call the askers, who may do anything: the lists are in order before. */
    while (due != NULL) {
        struct drop *drop = due;

        due = drop->next_waiting;
        drop_open_again(drop, drop->refused);
    }
}

/* ---- the holder */

static void answer(struct store *store, const struct mailbox_ref *mailbox, const char *channel, const char *word)
{
    struct pg_args args = PG_ARGS_EMPTY;
    struct pg_ref listener;
    char text[64];

    if (store->closing)     /* there may be no pg any more */
        return;
    listener = pg_listener(store->pg);
    if (listener.lane == NULL || !may_send(store))
        return;
    snprintf(text, sizeof text, "%s %s", word, mailbox_text(mailbox).s);
    pg_arg_bytes(&args, span_str(channel));
    pg_arg_bytes(&args, span_str(text));
    pg_ask(store->pg, listener, PG_ANSWER, &args, ignore, NULL);
}

/* channel is a reply channel. */
static void release(struct store *store, const struct mailbox_ref *mailbox, const char *channel, const char *by,
                    bool ordered)
{
    struct drop *drop = held_find(&store->held, mailbox);

    if (drop == NULL || drop->state == DROP_OPENING)
        return;     /* not held here, or by the asker itself */
    if (drop->release_to != NULL ||
        (drop->state == DROP_OPEN && (drop->asked == NULL || !drop->asked(drop->owner, by, ordered)))) {
        answer(store, mailbox, channel, "busy");
        return;
    }
    /* The lock is on its way back: told when it has arrived. */
    drop->release_to = mem_str(channel);
}

void takeover_asked(struct store *store, const struct mailbox_ref *mailbox, const char *channel, const char *by)
{
    release(store, mailbox, channel, by, false);
}

struct order {
    struct store *store;
    struct mailbox_ref mailbox;
    char *channel;
};

static void order_checked(void *arg, enum db_status status, PGresult *res)
{
    struct order *order = arg;
    bool may = false;

    if (status == DB_OK && pg_get_bool(res, 0, 0, &may) && may && !order->store->closing)
        release(order->store, &order->mailbox, order->channel, "an operator", true);
    else if (status == DB_OK && !may)
        log_warning(NULL, "mailbox=%s: ignoring a release order that is not from an operator",
                    mailbox_text(&order->mailbox).s);
    PQclear(res);
    mem_free(order->channel);
    mem_free(order);
}

void takeover_ordered(struct store *store, const struct mailbox_ref *mailbox, const char *channel, int pid)
{
    struct drop *drop = held_find(&store->held, mailbox);
    struct pg_args args = PG_ARGS_EMPTY;
    struct order *order;

    if (drop == NULL || drop->state == DROP_OPENING || !may_send(store))
        return;
    order = mem_zalloc(sizeof *order);
    order->store = store;
    order->mailbox = *mailbox;
    order->channel = mem_str(channel);
    pg_arg_int4(&args, pid);
    pg_ask(store->pg, pg_listener(store->pg), PG_IS_ORDERED, &args, order_checked, order);
}

void takeover_ended(struct drop *drop)
{
    struct store *store = drop->store;

    if (drop->release_to != NULL) {
        answer(store, &drop->mailbox, drop->release_to, "free");
        mem_free(drop->release_to);
        drop->release_to = NULL;
    }
    for (struct drop *d = store->takeover.waiting; d != NULL; d = d->next_waiting)
        if (mailbox_same(&d->mailbox, &drop->mailbox) && !d->held) {
            d->waits_until = 0;
            timer_set(store->takeover.timer, 0);
        }
}
