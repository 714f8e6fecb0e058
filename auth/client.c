/*
 * client.c - the worker's side of authentication: who waits, and which helper
 * has whose request.
 *
 * Owns the waiting requests, with their passwords until they are answered, and
 * knows which helper has which exchange. Must never call an asker back from
 * within a call of his, nor make a refusal out of a helper that is late, gone
 * or talking nonsense.
 */
#include "auth/client.h"

#include <sys/queue.h>

#include "auth/frame.h"
#include "auth/queue.h"
#include "daemon/base/idmap.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"
#include "daemon/net/peer.h"

enum {
    WAITING_MAX = 4096,     /* requests that no helper has yet */
    /*
     * Requests that a helper may have at once. It works on one; the others
     * lie in its socket, so that it need not wait for a turn of our loop
     * between two cached logins, which take it a tenth of a millisecond.
     */
    HELPER_DEPTH = 8,
    SILENT = 3,             /* deadlines */
};

enum request_state {
    REQUEST_WAITING,    /* in the queue */
    REQUEST_SENT,       /* a helper has it */
    REQUEST_SETTLED,    /* in `settled`: its verdict is there and will be told in the next turn */
    /* Of an exchange: */
    REQUEST_CHALLENGED, /* the asker has the word, and nobody waits */
    REQUEST_PINNED,     /* in its helper's `pinned`: what goes on with an exchange no other can take */
    REQUEST_ORPHANED,   /* as REQUEST_CHALLENGED, but the helper has gone */
    /* Of a password: */
    REQUEST_UNCONFIRMED,    /* its verdict was told, and is to be confirmed; nobody waits */
};

TAILQ_HEAD(request_list, request);

struct helper {
    struct auth_client *client;
    struct peer *peer;      /* NULL: gone */
    size_t load;            /* requests it has, forgotten ones too */
    size_t doubtful;        /* of these, of clients who were not good before */
    uint64_t heard;         /* when it answered last, or was given something to do when it had nothing */
    struct request_list pinned;
};

struct request {
    uint64_t id;
    enum request_state state;
    bool retried;
    bool may_challenge;             /* it is an exchange */
    bool uncached;                  /* asked once more, as a cached login was not confirmed */
    bool doubtful;                  /* of a client who was not good before: most likely it will cost an Argon2 */
    enum auth_verdict verdict;      /* of one that is settled */
    size_t helper;                  /* of one that was sent */
    uint64_t exchange;              /* the helper's name for it; 0 before the first challenge */
    size_t spread;                  /* of the name */
    size_t home;                    /* the helper that is asked where several have as little to do */
    uint64_t deadline;
    auth_done *done;                /* NULL: nobody waits for it any more, and it is not in `asked` */
    void *owner;
    struct queue_place place;
    TAILQ_ENTRY(request) by_time, in_state;
    size_t len;
    unsigned char *frame;           /* holds the password */
};

struct auth_client {
    struct loop *loop;
    uint64_t deadline_ms;
    void (*lost)(void *arg);
    void *arg;
    struct idmap *requests;
    struct request_list asked;      /* all that somebody waits for, the oldest first: so the next deadline is the first's */
    struct request_list settled;
    struct queue *waiting;
    size_t untold;                  /* lost helpers that the owner was not told of */
    struct timer *late, *soon;
    size_t count;
    struct helper helpers[];
};

static void drop_frame(struct request *r)
{
    if (r->frame != NULL)
        secret_wipe(r->frame, r->len);
    mem_free(r->frame);
    r->frame = NULL;
    r->len = 0;
}

static void set_frame(struct request *r, const unsigned char *frame, size_t len)
{
    drop_frame(r);
    r->frame = mem_alloc(len);
    memcpy(r->frame, frame, len);
    r->len = len;
}

static void request_free(struct auth_client *c, struct request *r)
{
    idmap_take(c->requests, r->id);
    drop_frame(r);
    mem_free(r);
}

/* Out of what it waits in. */
static void unlink_state(struct auth_client *c, struct request *r)
{
    if (r->state == REQUEST_WAITING) {
        queue_remove(c->waiting, &r->place);
    } else if (r->state == REQUEST_SETTLED) {
        TAILQ_REMOVE(&c->settled, r, in_state);
    } else if (r->state == REQUEST_PINNED) {
        TAILQ_REMOVE(&c->helpers[r->helper].pinned, r, in_state);
    }
}

static void pin(struct auth_client *c, struct request *r)
{
    r->state = REQUEST_PINNED;
    TAILQ_INSERT_TAIL(&c->helpers[r->helper].pinned, r, in_state);
}

/* The helper is to forget the exchange. It answers that too, so that all it is sent is counted alike. */
static void pin_abort(struct auth_client *c, struct request *r)
{
    unsigned char frame[FRAME_STEP_MAX];

    size_t len = frame_put_step(frame, FRAME_ABORT, &(struct auth_step){ r->id, r->exchange, SPAN_OF("") });
    set_frame(r, frame, len);
    pin(c, r);
    timer_set(c->soon, 0);
}

/* Nobody waits for it from here on. One that a helper has stays until that answers: it is still work that it does. */
static void abandon(struct auth_client *c, struct request *r)
{
    if (r->state != REQUEST_CHALLENGED && r->state != REQUEST_ORPHANED && r->state != REQUEST_UNCONFIRMED)
        TAILQ_REMOVE(&c->asked, r, by_time);
    r->done = NULL;
    if (r->state == REQUEST_SENT) {
        drop_frame(r);
        return;
    }
    unlink_state(c, r);
    if (r->state == REQUEST_CHALLENGED || r->state == REQUEST_PINNED)
        pin_abort(c, r);
    else
        request_free(c, r);
}

/* Tells the asker a verdict that no helper gave; he may ask or forget others meanwhile. */
static void answer(struct auth_client *c, struct request *r, enum auth_verdict verdict)
{
    auth_done *done = r->done;
    void *owner = r->owner;

    abandon(c, r);
    done(owner, &(struct auth_result){ .verdict = verdict });   /* NOLINT: none asks without it */
}

static void settle(struct auth_client *c, struct request *r, enum auth_verdict verdict)
{
    r->state = REQUEST_SETTLED;
    r->verdict = verdict;
    TAILQ_INSERT_TAIL(&c->settled, r, in_state);
    timer_set(c->soon, 0);
}

static void arm_late(struct auth_client *c)
{
    const struct request *first = TAILQ_FIRST(&c->asked);

    if (first == NULL) {
        timer_stop(c->late);
        return;
    }
    uint64_t now = loop_now(c->loop);
    timer_set(c->late, first->deadline > now ? first->deadline - now : 0);
}

static struct request *request_of(struct queue_place *place)
{
    return (struct request *)(void *)((char *)place - offsetof(struct request, place));
}

/* Where nobody counts where he comes from, each name is in a line of its own. */
static void wait_in_line(struct auth_client *c, struct request *r, const struct auth_origin *origin)
{
    uint64_t line = origin->line != 0 ? origin->line : r->spread;
    bool trusted = origin->network.len == 0;        /* nobody counts there */
    enum queue_rank rank = origin->good || trusted ? QUEUE_GOOD : origin->failed ? QUEUE_FAILED : QUEUE_NEW;
    struct queue_place *lost = queue_put(c->waiting, &r->place, line, rank);

    r->doubtful = rank != QUEUE_GOOD;
    r->state = REQUEST_WAITING;
    if (lost != NULL)
        settle(c, request_of(lost), AUTH_UNAVAILABLE);
}

struct leaving {
    struct auth_client *client;
    size_t helper;
};

/*
 * What the lost helper had goes to another one, once: a request that ends
 * helpers must not end them all. An exchange that had begun is over.
 */
static void leave_helper(void *p, void *arg)
{
    struct request *r = p;
    const struct leaving *l = arg;

    if (r->helper != l->helper || r->state == REQUEST_WAITING || r->state == REQUEST_SETTLED || r->state == REQUEST_UNCONFIRMED)
        return;
    if (r->state == REQUEST_CHALLENGED) {
        r->state = REQUEST_ORPHANED;
        return;
    }
    if (r->state == REQUEST_ORPHANED)
        return;
    unlink_state(l->client, r);
    if (r->done == NULL) {
        request_free(l->client, r);
    } else if (r->retried || r->exchange != 0) {
        settle(l->client, r, AUTH_UNAVAILABLE);
    } else {
        r->retried = true;
        r->state = REQUEST_WAITING;
        queue_put_first(l->client->waiting, &r->place);
    }
}

/* May be called from within a call of an asker: tells nobody before the next turn. */
static void helper_lost(struct helper *h, const char *why)
{
    struct auth_client *c = h->client;
    struct leaving l = { c, (size_t)(h - c->helpers) };

    peer_free(&h->peer);
    h->load = h->doubtful = 0;
    idmap_each(c->requests, leave_helper, &l);
    if (auth_client_alive(c) == 0) {
        struct queue_place *place;
        while ((place = queue_take(c->waiting, QUEUE_FAILED)) != NULL)
            settle(c, request_of(place), AUTH_UNAVAILABLE);
    }
    log_warning(NULL, "auth helper was lost: %s; helpers left: %zu of %zu", why, auth_client_alive(c), c->count);
    c->untold++;
    timer_set(c->soon, 0);
}

/* Requests are queued in a helper's socket, where none passes another: of doubtful ones only one at a time. */
static bool takes(const struct helper *h, bool doubtful)
{
    return h->peer != NULL && h->load < HELPER_DEPTH && !(doubtful && h->doubtful > 0);
}

/*
 * Who may be taken out of the queue now? All but one of the helpers may be at
 * work for doubtful clients: a flood of them keeps nobody else waiting. False:
 * nobody.
 */
static bool may_take(const struct auth_client *c, enum queue_rank *lowest_r)
{
    size_t busy = 0, most = auth_client_alive(c) > 1 ? auth_client_alive(c) - 1 : 1;
    bool good = false, doubtful = false;

    for (size_t i = 0; i < c->count; i++) {
        busy += c->helpers[i].doubtful > 0;
        good = good || takes(&c->helpers[i], false);
        doubtful = doubtful || takes(&c->helpers[i], true);
    }
    *lowest_r = doubtful && busy < most ? QUEUE_FAILED : QUEUE_GOOD;
    return good;
}

/* Rather than behind a doubtful request: the one with the least to do; where that is several, the home of the name, whose cache may know the password. */
static struct helper *least_loaded(struct auth_client *c, const struct request *r)
{
    struct helper *best = NULL;

    for (size_t i = 0; i < c->count; i++) {
        struct helper *h = &c->helpers[(r->home + i) % c->count];
        if (takes(h, r->doubtful) &&
            (best == NULL || h->doubtful < best->doubtful || (h->doubtful == best->doubtful && h->load < best->load)))
            best = h;
    }
    return best;
}

static void send_to(struct auth_client *c, struct request *r, struct helper *h)
{
    r->state = REQUEST_SENT;
    r->helper = (size_t)(h - c->helpers);
    if (h->load++ == 0)
        h->heard = loop_now(c->loop);
    h->doubtful += r->doubtful;
    if (!peer_send(h->peer, r->frame, r->len))
        helper_lost(h, "it takes no requests");
}

/* What was begun goes first: its client has waited longer, and its end frees what it holds. */
static void send_pinned(struct auth_client *c)
{
    struct request *r;

    for (size_t i = 0; i < c->count; i++) {
        struct helper *h = &c->helpers[i];
        while ((r = TAILQ_FIRST(&h->pinned)) != NULL && takes(h, r->doubtful)) {
            unlink_state(c, r);
            send_to(c, r, h);
        }
    }
}

static void send_waiting(struct auth_client *c)
{
    enum queue_rank lowest;
    struct queue_place *place;

    send_pinned(c);
    while (queue_count(c->waiting) > 0 && may_take(c, &lowest) && (place = queue_take(c->waiting, lowest)) != NULL) {
        struct request *r = request_of(place);
        struct helper *h = least_loaded(c, r);
        if (h == NULL) {            /* one that was retried, and doubtful */
            queue_put_first(c->waiting, place);
            return;
        }
        send_to(c, r, h);
    }
}

static void on_soon(void *arg)
{
    struct auth_client *c = arg;
    struct request *r;

    send_waiting(c);
    while ((r = TAILQ_FIRST(&c->settled)) != NULL)
        answer(c, r, r->verdict);
    for (; c->untold > 0; c->untold--)
        if (c->lost != NULL)
            c->lost(c->arg);
}

static void on_late(void *arg)
{
    struct auth_client *c = arg;
    struct request *r;

    while ((r = TAILQ_FIRST(&c->asked)) != NULL && r->deadline <= loop_now(c->loop))
        answer(c, r, AUTH_UNAVAILABLE);
    arm_late(c);
}

/* The request that this helper was sent and has not answered yet; NULL if that is not so. */
static struct request *asked_of(const struct helper *h, uint64_t id)
{
    struct request *r = idmap_get(h->client->requests, id);

    return r != NULL && r->state == REQUEST_SENT && r->helper == (size_t)(h - h->client->helpers) ? r : NULL;
}

static void on_challenge(struct helper *h, const unsigned char *data, size_t len)
{
    struct auth_client *c = h->client;
    struct auth_challenge challenge;
    struct request *r;

    if (!frame_get_challenge(data, len, &challenge)) {
        helper_lost(h, "it sent something that is no challenge");
        return;
    }
    r = asked_of(h, challenge.id);
    if (r == NULL || !r->may_challenge || (r->exchange != 0 && r->exchange != challenge.exchange)) {
        helper_lost(h, "it asked back where there is nothing to ask");
        return;
    }
    h->load--;
    h->doubtful -= r->doubtful;
    r->exchange = challenge.exchange;
    drop_frame(r);
    if (r->done == NULL) {      /* forgotten meanwhile */
        pin_abort(c, r);
        return;
    }
    TAILQ_REMOVE(&c->asked, r, by_time);
    r->state = REQUEST_CHALLENGED;
    auth_done *done = r->done;
    void *owner = r->owner;
    send_waiting(c);
    done(owner, &(struct auth_result){ .verdict = AUTH_CHALLENGE, .challenge = challenge.text });
}

static void on_message(void *arg, const unsigned char *data, size_t len)
{
    struct helper *h = arg;
    struct auth_client *c = h->client;
    struct auth_reply reply;

    h->heard = loop_now(c->loop);
    if (frame_kind(data, len) == FRAME_CHALLENGE) {
        on_challenge(h, data, len);
        return;
    }
    if (!frame_get_reply(data, len, &reply)) {
        helper_lost(h, "it sent something that is no answer");
        return;
    }
    struct request *r = asked_of(h, reply.id);
    if (r == NULL) {
        helper_lost(h, "it answered what it was not asked");
        return;
    }
    bool unconfirmed = reply.verdict == AUTH_OK_UNCONFIRMED;
    if (unconfirmed && (r->may_challenge || r->uncached)) {
        helper_lost(h, "it answers from its cache what it should look at");
        return;
    }
    auth_done *done = r->done;
    void *owner = r->owner;
    h->load--;
    h->doubtful -= r->doubtful;
    if (done != NULL)
        TAILQ_REMOVE(&c->asked, r, by_time);
    if (done != NULL && unconfirmed)
        r->state = REQUEST_UNCONFIRMED;
    else
        request_free(c, r);
    send_waiting(c);
    if (done != NULL)
        done(owner, &(struct auth_result){
            .verdict = reply.verdict, .mailbox = reply.mailbox, .address = reply.address, .policy = reply.policy,
            .versions = reply.versions, .guesses = reply.guesses,
        });
}

static void on_gone(void *arg)
{
    helper_lost(arg, "its end of the socket is closed");
}

struct auth_client *auth_client_new(struct loop *loop, const int *fds, size_t count, uint64_t deadline_ms,
                                    void (*lost)(void *arg), void *arg)
{
    ASSERT(count > 0 && count <= 1024);
    struct auth_client *c = mem_zalloc(sizeof *c + count * sizeof c->helpers[0]);

    c->loop = loop;
    c->deadline_ms = deadline_ms;
    c->lost = lost;
    c->arg = arg;
    c->requests = idmap_new();
    TAILQ_INIT(&c->asked);
    c->waiting = queue_new(WAITING_MAX);
    TAILQ_INIT(&c->settled);
    c->late = timer_new(loop, on_late, c);
    c->soon = timer_new(loop, on_soon, c);
    c->count = count;
    for (size_t i = 0; i < count; i++) {
        c->helpers[i].client = c;
        TAILQ_INIT(&c->helpers[i].pinned);
        c->helpers[i].peer = peer_new(loop, fds[i], on_message, on_gone, &c->helpers[i]);
    }
    return c;
}

size_t auth_client_waiting(const struct auth_client *c)
{
    return queue_count(c->waiting);
}

static void free_each(void *p, void *arg)
{
    request_free(arg, p);
}

void auth_client_free(struct auth_client **client)
{
    struct auth_client *c = *client;

    if (c == NULL)
        return;
    *client = NULL;
    for (size_t i = 0; i < c->count; i++)
        peer_free(&c->helpers[i].peer);
    timer_free(&c->late);
    timer_free(&c->soon);
    idmap_each(c->requests, free_each, c);
    idmap_free(&c->requests);
    queue_free(&c->waiting);
    mem_free(c);
}

/* FNV-1a: spreads names over helpers, no more. */
static size_t spread(struct span text)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.at[i]) * 16777619u;
    return h;
}

/* Somebody waits for it, from now. */
static void wait_for(struct auth_client *c, struct request *r)
{
    r->deadline = loop_now(c->loop) + c->deadline_ms;
    TAILQ_INSERT_TAIL(&c->asked, r, by_time);
    if (TAILQ_FIRST(&c->asked) == r)
        arm_late(c);
}

static struct request *request_new(struct auth_client *c, struct span home, auth_done *done, void *owner)
{
    struct request *r = mem_zalloc(sizeof *r);

    r->id = idmap_put(c->requests, r);
    r->spread = spread(home);
    r->home = r->spread % c->count;
    r->done = done;
    r->owner = owner;
    wait_for(c, r);
    return r;
}

/* len: of the frame, 0 if it could not be made. */
static void request_send(struct auth_client *c, struct request *r, const struct auth_origin *origin, unsigned char *frame, size_t len)
{
    if (len == 0) {
        /* A name or a password that is too long for any is nobody's, whoever asks. */
        settle(c, r, AUTH_REFUSED);
    } else if (auth_client_alive(c) == 0) {
        settle(c, r, AUTH_UNAVAILABLE);
    } else {
        set_frame(r, frame, len);
        wait_in_line(c, r, origin);
        send_waiting(c);
    }
    secret_wipe(frame, len);
}

uint64_t auth_check_password(struct auth_client *c, struct span name, struct span password,
                             struct span default_domain, const struct auth_origin *origin, const char *session,
                             auth_done *done, void *owner)
{
    unsigned char frame[FRAME_REQUEST_MAX];
    struct request *r = request_new(c, name, done, owner);
    const uint64_t id = r->id;
    struct auth_request request = { id, name, password, default_domain, span_str(session), { .network = SPAN_OF("") }, false };

    if (origin != NULL)
        request.origin = *origin;
    request_send(c, r, &request.origin, frame, frame_put_request(frame, &request));
    return id;
}

void auth_check_uncached(struct auth_client *c, uint64_t id)
{
    struct request *r = idmap_get(c->requests, id);

    ASSERT(r != NULL && r->state == REQUEST_UNCONFIRMED);
    r->uncached = true;
    frame_ask_uncached(r->frame, r->len);
    wait_for(c, r);
    if (auth_client_alive(c) == 0) {
        settle(c, r, AUTH_UNAVAILABLE);
        return;
    }
    /* It has waited for its turn once. */
    r->state = REQUEST_WAITING;
    queue_put_first(c->waiting, &r->place);
    send_waiting(c);
}

uint64_t auth_start(struct auth_client *c, const struct auth_opening *opening, auth_done *done, void *owner)
{
    unsigned char frame[FRAME_START_MAX];
    /* The same message of PLAIN goes to the same helper, whose cache may know the password. */
    struct request *r = request_new(c, opening->initial, done, owner);
    const uint64_t id = r->id;

    r->may_challenge = true;
    request_send(c, r, &opening->origin, frame, frame_put_start(frame, id, opening));
    return id;
}

void auth_respond(struct auth_client *c, uint64_t id, struct span response)
{
    unsigned char frame[FRAME_STEP_MAX];
    struct request *r = idmap_get(c->requests, id);
    size_t len = frame_put_step(frame, FRAME_RESPOND, &(struct auth_step){ id, r != NULL ? r->exchange : 0, response });

    ASSERT(len > 0 && r != NULL && (r->state == REQUEST_CHALLENGED || r->state == REQUEST_ORPHANED));
    wait_for(c, r);
    if (r->state == REQUEST_ORPHANED) {
        settle(c, r, AUTH_UNAVAILABLE);
    } else {
        set_frame(r, frame, len);
        pin(c, r);
        send_pinned(c);
    }
    secret_wipe(frame, len);
}

void auth_forget(struct auth_client *c, uint64_t id)
{
    struct request *r = idmap_get(c->requests, id);

    if (r != NULL && r->done != NULL)
        abandon(c, r);
}

size_t auth_client_alive(const struct auth_client *c)
{
    size_t alive = 0;

    for (size_t i = 0; i < c->count; i++)
        alive += c->helpers[i].peer != NULL;
    return alive;
}

size_t auth_client_silent(const struct auth_client *c)
{
    size_t silent = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct helper *h = &c->helpers[i];
        silent += h->peer != NULL && h->load > 0 && loop_now(c->loop) - h->heard > SILENT * c->deadline_ms;
    }
    return silent;
}
