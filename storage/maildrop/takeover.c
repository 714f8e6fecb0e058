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

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/drop_impl.h"

enum {
    PATIENCE_MS = 150,      /* [IN-USE] is said within 200 ms */
    SPACING_MS = 1000,      /* between two questions about one maildrop */
    SENT_A_SECOND = 100,    /* notifications of one store */
    SLOTS = 256,
};

/* Who waits for a maildrop that others hold, and what bounds the asking. */
struct takeover {
    struct store *store;
    void (*again)(struct drop *drop, bool refused);
    struct drop *waiting;
    struct timer *timer;
    uint64_t second;                /* in which so many notifications were sent */
    unsigned sent;
    struct asked {
        struct mailbox_ref mailbox;
        uint64_t at;                /* 0: the slot is empty */
    } asked[SLOTS];
};

/* Of a drop that was asked for, or whose asker has asked. */
struct passing {
    struct drop *next;              /* in takeover.waiting */
    uint64_t until;                 /* it waits */
    bool has_waited, refused;
    char *release_to;               /* the reply channel of who asked for it first, or NULL */
};

struct takeover *takeover_new(struct store *store, void (*again)(struct drop *drop, bool refused))
{
    struct takeover *t = mem_zalloc(sizeof *t);

    t->store = store;
    t->again = again;
    t->timer = timer_new(store->loop, takeover_due, t);
    return t;
}

void takeover_free(struct takeover **takeover)
{
    timer_free(&(*takeover)->timer);
    mem_free(*takeover);
    *takeover = NULL;
}

static struct passing *passing(struct drop *drop)
{
    if (drop->passing == NULL)
        drop->passing = mem_zalloc(sizeof *drop->passing);
    return drop->passing;
}

static void ignore(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    (void)status;
    PQclear(res);
}

/* False: enough for this second. */
static bool may_send(struct store *store)
{
    struct takeover *t = store->takeover;
    uint64_t second = loop_now(store->loop) / 1000;

    if (second != t->second) {
        t->second = second;
        t->sent = 0;
    }
    return ++t->sent <= SENT_A_SECOND;
}

/* ---- the asker */

/*
 * False: this maildrop was asked for a moment ago, and who held it then was at work. Two that
 * share a slot forget each other.
 */
static bool may_ask(struct store *store, const struct mailbox_ref *mailbox)
{
    struct asked *slot = &store->takeover->asked[mailbox_key(mailbox) % SLOTS];
    uint64_t now = loop_now(store->loop);

    if (slot->at != 0 && mailbox_same(&slot->mailbox, mailbox) && now - slot->at < SPACING_MS)
        return false;
    if (!may_send(store))
        return false;
    *slot = (struct asked){ *mailbox, now };
    return true;
}

static void wait_for_answer(struct drop *drop)
{
    struct takeover *t = drop->store->takeover;
    struct passing *p = passing(drop);

    p->until = loop_now(drop->store->loop) + PATIENCE_MS;
    p->next = t->waiting;
    p->has_waited = true;
    t->waiting = drop;
    if (p->next == NULL)        /* else it is set for one that is due before */
        timer_set(t->timer, PATIENCE_MS);
}

/* Its session does: it has ended. */
static bool gives_up(struct drop *holder, const char *by, bool ordered)
{
    return holder->who.asked != NULL && holder->who.asked(holder->owner, by, ordered);
}

/* Its session is here, in this worker. */
static bool ask_here(struct drop *drop, struct drop *holder)
{
    if (holder->state == DROP_OPENING)
        return false;
    if (holder->state == DROP_OPEN && !gives_up(holder, drop->who.session, false))
        return false;
    wait_for_answer(drop);
    return true;
}

bool takeover_start(struct drop *drop)
{
    struct store *store = drop->store;
    struct drop *holder = drop->place.there ? NULL : held_find(&store->held, &drop->place.mailbox);
    struct pg_args args = PG_ARGS_EMPTY;
    struct pg_ref listener;

    if (!drop->who.asks || (drop->passing != NULL && drop->passing->has_waited) || store->closing ||
        !drop_is_awaited(drop))
        return false;
    if (!drop->place.there)
        return holder != NULL && ask_here(drop, holder);
    listener = pg_listener(store->pg);
    if (listener.lane == NULL || !may_ask(store, &drop->place.mailbox))
        return false;
    pg_arg_mailbox(&args, &drop->place.mailbox);
    pg_arg_bytes(&args, span_str(pg_reply_channel(store->pg)));
    pg_arg_bytes(&args, span_str(drop->who.session));
    pg_arg_bytes(&args, mailbox_ticket_span(&drop->ticket));
    pg_ask(store->pg, listener, PG_ASK_RELEASE, &args, ignore, NULL);
    wait_for_answer(drop);
    return true;
}

void takeover_answered(struct store *store, const struct mailbox_ref *mailbox, bool is_free)
{
    for (struct drop *d = store->takeover->waiting; d != NULL; d = d->passing->next)
        if (mailbox_same(&d->place.mailbox, mailbox) && d->place.there) {
            d->passing->until = 0;
            d->passing->refused = !is_free;
            timer_set(store->takeover->timer, 0);
        }
}

void takeover_due(void *arg)
{
    struct takeover *t = arg;
    struct drop *all = t->waiting, *due = NULL;
    uint64_t now = loop_now(t->store->loop), next = UINT64_MAX;

    t->waiting = NULL;
    while (all != NULL) {
        struct drop *drop = all, **to = &t->waiting;

        all = drop->passing->next;
        if (t->store->closing || drop->passing->until <= now)
            to = &due;
        else if (drop->passing->until < next)
            next = drop->passing->until;
        drop->passing->next = *to;
        *to = drop;
    }
    if (next != UINT64_MAX)
        timer_set(t->timer, next - now);
    /* These may call the askers, who may do anything: the lists are in order before. */
    while (due != NULL) {
        struct drop *drop = due;

        due = drop->passing->next;
        t->again(drop, drop->passing->refused);
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
    if ((drop->passing != NULL && drop->passing->release_to != NULL) ||
        (drop->state == DROP_OPEN && !gives_up(drop, by, ordered))) {
        answer(store, mailbox, channel, "busy");
        return;
    }
    /* The lock is on its way back: told when it has arrived. */
    passing(drop)->release_to = mem_str(channel);
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
    pg_arg_mailbox(&args, mailbox);
    pg_ask(store->pg, pg_listener(store->pg), PG_IS_ORDERED, &args, order_checked, order);
}

void takeover_ended(struct drop *drop)
{
    struct takeover *t = drop->store->takeover;

    if (drop->passing != NULL) {
        if (drop->passing->release_to != NULL)
            answer(drop->store, &drop->place.mailbox, drop->passing->release_to, "free");
        mem_free(drop->passing->release_to);
        mem_free(drop->passing);
        drop->passing = NULL;
    }
    for (struct drop *d = t->waiting; d != NULL; d = d->passing->next)
        if (mailbox_same(&d->place.mailbox, &drop->place.mailbox) && !d->place.there) {
            d->passing->until = 0;
            timer_set(t->timer, 0);
        }
}
