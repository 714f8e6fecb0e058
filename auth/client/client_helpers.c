/*
 * client_helpers.c - who works for whom (see client_helpers.h).
 *
 * Owns the sockets and how much each helper has to do. Must never let a flood of
 * strangers keep others waiting, nor a request that ends helpers end them all.
 */
#include "auth/client/client_helpers.h"

#include "auth/frame.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "daemon/net/peer.h"

enum {
    /*
     * Requests that a helper may have at once, so that it asks the database for
     * several names in one statement, and need not wait for a turn of our loop
     * between two cached logins.
     */
    HELPER_DEPTH = 32,
    QUIET_MS = 5,           /* who has not answered for so long is at slow work, or hangs: others are asked */
    SILENT = 3,             /* deadlines */
};

struct helpers {
    struct requests *requests;
    helper_said *said;
    void *arg;
    size_t untold;
    size_t count;
    struct helper each[];
};

/* ------------------------------------------------------------------- lives */

static void on_message(void *arg, const unsigned char *data, size_t len)
{
    struct helper *h = arg;

    h->heard = loop_now(h->all->requests->loop);
    h->all->said(h->all->arg, h, data, len);
}

static void on_gone(void *arg)
{
    helper_lost(arg, "it closed the connection");
}

struct helpers *helpers_new(struct requests *requests, const int *fds, size_t count, helper_said *said, void *arg)
{
    ASSERT(count > 0 && count <= 1024);
    struct helpers *all = mem_zalloc(sizeof *all + count * sizeof all->each[0]);

    all->requests = requests;
    all->said = said;
    all->arg = arg;
    all->count = count;
    for (size_t i = 0; i < count; i++) {
        struct helper *h = &all->each[i];

        h->all = all;
        request_lists_init(&h->lists);
        h->peer = peer_new(requests->loop, fds[i], on_message, on_gone, h);
    }
    return all;
}

void helpers_free(struct helpers **helpers)
{
    struct helpers *all = *helpers;

    *helpers = NULL;
    for (size_t i = 0; i < all->count; i++)
        peer_free(&all->each[i].peer);
    mem_free(all);
}

size_t helpers_alive(const struct helpers *all)
{
    size_t alive = 0;

    for (size_t i = 0; i < all->count; i++)
        alive += all->each[i].peer != NULL;
    return alive;
}

size_t helpers_silent(const struct helpers *all)
{
    const struct requests *q = all->requests;
    size_t silent = 0;

    for (size_t i = 0; i < all->count; i++) {
        const struct helper *h = &all->each[i];
        silent += h->peer != NULL && h->load > 0 && loop_now(q->loop) - h->heard > SILENT * q->deadline_ms;
    }
    return silent;
}

size_t helpers_untold(struct helpers *all)
{
    size_t n = all->untold;

    all->untold = 0;
    return n;
}

/*
 * What the lost helper had goes to another one, once: a request that ends
 * helpers must not end them all, nor what it was asked together with others a
 * second time, so they go one at a time. An exchange that had begun is over.
 */
static void pass_on(struct requests *q, struct request_list *list)
{
    struct request *r;

    while ((r = TAILQ_FIRST(list)) != NULL) {
        if (r->done == NULL) {
            request_free(q, r);
        } else if (r->retried || r->exchange != 0) {
            request_settle(q, r, AUTH_UNAVAILABLE);
        } else {
            r->retried = true;
            request_leave(q, r);
            if (r->slow || r->may_challenge)
                request_queue_first(q, r);
            else
                request_queue_slow(q, r);
        }
    }
}

void helper_lost(struct helper *h, const char *why)
{
    struct helpers *all = h->all;
    struct requests *q = all->requests;
    struct request *r;

    peer_free(&h->peer);
    h->load = h->slow = 0;
    pass_on(q, &h->lists.of[REQUEST_SENT]);
    pass_on(q, &h->lists.of[REQUEST_PINNED]);
    while ((r = TAILQ_FIRST(&h->lists.of[REQUEST_CHALLENGED])) != NULL) {
        request_leave(q, r);
        request_enter(r, &q->lists, REQUEST_ORPHANED);
    }
    while (helpers_alive(all) == 0 && (r = request_take(q, QUEUE_FAILED)) != NULL)
        request_settle(q, r, AUTH_UNAVAILABLE);
    log_warning(NULL, "auth helper was lost: %s; helpers left: %zu of %zu", why, helpers_alive(all), all->count);
    all->untold++;
    requests_soon(q);
}

/* ------------------------------------------------------------ who gets what */

/* Of slow ones only one at a time: those that it cannot begin wait here, for whoever is free. */
static bool takes(const struct helper *h, bool slow)
{
    return h->peer != NULL && h->load < HELPER_DEPTH && !(slow && h->slow > 0);
}

/*
 * Who may be taken out of the queue now? All but one of the helpers may be at
 * work for strangers: a flood of them keeps nobody else waiting. False: nobody.
 */
static bool may_take(const struct helpers *all, enum queue_rank *lowest_r)
{
    size_t busy = 0, most = helpers_alive(all) > 1 ? helpers_alive(all) - 1 : 1;
    bool quick = false, slow = false;

    for (size_t i = 0; i < all->count; i++) {
        busy += all->each[i].slow > 0;
        quick = quick || takes(&all->each[i], false);
        slow = slow || takes(&all->each[i], true);
    }
    *lowest_r = !slow ? QUEUE_GOOD : busy < most ? QUEUE_FAILED : QUEUE_SLOW;
    return quick;
}

/* What lies there now is answered in a moment. */
static bool is_quick(const struct helper *h)
{
    return h->slow == 0 && (h->load == 0 || loop_now(h->all->requests->loop) - h->heard <= QUIET_MS);
}

/*
 * What is quick goes to the first that is at nothing slow, so that few are woken,
 * they find much to do at once, and know the policies of many mailboxes. If it is not
 * quick after all, and there is more like it, it is handed back.
 */
static struct helper *first_quick(struct helpers *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (takes(&all->each[i], false) && is_quick(&all->each[i]))
            return &all->each[i];
    return NULL;
}

/*
 * Rather than behind a slow request: the one with the least to do; where that
 * is several, the home of the name.
 */
static struct helper *least_loaded(struct helpers *all, const struct request *r)
{
    struct helper *best = NULL;

    for (size_t i = 0; i < all->count; i++) {
        struct helper *h = &all->each[(r->spread + i) % all->count];
        if (takes(h, r->slow) &&
            (best == NULL || h->slow < best->slow || (h->slow == best->slow && h->load < best->load)))
            best = h;
    }
    return best;
}

/* Exchanges, which nobody can hand back, are spread as they come. */
static struct helper *choose(struct helpers *all, const struct request *r)
{
    struct helper *h = r->slow || r->may_challenge ? NULL : first_quick(all);

    return h != NULL ? h : least_loaded(all, r);
}

static void send_to(struct helper *h, struct request *r)
{
    r->helper = h;
    request_enter(r, &h->lists, REQUEST_SENT);
    if (h->load++ == 0)
        h->heard = loop_now(h->all->requests->loop);
    h->slow += r->slow;
    if (r->slow && !r->may_challenge)
        frame_ask_slow(r->frame, r->len);
    if (!peer_send(h->peer, r->frame, r->len))
        helper_lost(h, "it does not accept requests");
}

/* What was begun goes first: its client has waited longer, and its end frees what it holds. */
void helpers_send_pinned(struct helpers *all)
{
    struct request *r;

    for (size_t i = 0; i < all->count; i++) {
        struct helper *h = &all->each[i];
        while ((r = TAILQ_FIRST(&h->lists.of[REQUEST_PINNED])) != NULL && takes(h, r->slow)) {
            request_leave(all->requests, r);
            send_to(h, r);
        }
    }
}

void helpers_send(struct helpers *all)
{
    struct requests *q = all->requests;
    enum queue_rank lowest;
    struct request *r;

    helpers_send_pinned(all);
    while (queue_count(q->waiting) > 0 && may_take(all, &lowest) && (r = request_take(q, lowest)) != NULL) {
        struct helper *h = choose(all, r);
        if (h == NULL) {            /* one that was retried, and slow */
            request_queue_first(q, r);
            return;
        }
        send_to(h, r);
    }
}

void helper_answered(struct helper *h, struct request *r)
{
    ASSERT(r->state == REQUEST_SENT && r->helper == h);
    h->load--;
    h->slow -= r->slow;
    request_leave(h->all->requests, r);
}

void helper_pin(struct request *r)
{
    struct helper *h = r->helper;

    request_leave(h->all->requests, r);
    request_enter(r, &h->lists, REQUEST_PINNED);
}
