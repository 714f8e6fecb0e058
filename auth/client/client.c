/*
 * client.c - the worker's side of authentication: what askers ask and are
 * told, and what helpers may say.
 *
 * Must never call an asker back from within a call of theirs, nor make a refusal
 * out of a helper that is late, gone or talking nonsense. States and lists of
 * requests: client_request.h. Which helper gets which: client_helpers.h.
 */
#include "auth/client/client.h"

#include "auth/client/client_helpers.h"
#include "auth/client/client_request.h"
#include "auth/frame.h"
#include "daemon/base/idmap.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"

struct auth_client {
    struct requests requests;
    struct helpers *helpers;
    void (*lost)(void *arg);
    void *arg;
};

/* ------------------------------------------------------- what askers are told */

/* The helper is to forget the exchange. It answers that too, so that all it is sent is counted alike. */
static void pin_abort(struct auth_client *c, struct request *r)
{
    unsigned char frame[FRAME_STEP_MAX];

    size_t len = frame_put_step(frame, FRAME_ABORT, &(struct auth_step){ r->id, r->exchange, SPAN_OF("") });
    request_set_frame(r, frame, len);
    helper_pin(r);
    requests_soon(&c->requests);
}

/* Nobody waits for it from here on. One that a helper has stays until that answers: it is still work that it does. */
static void abandon(struct auth_client *c, struct request *r)
{
    request_untime(&c->requests, r);
    r->done = NULL;
    if (r->state == REQUEST_SENT)
        request_drop_frame(r);
    else if (r->state == REQUEST_CHALLENGED || r->state == REQUEST_PINNED)
        pin_abort(c, r);
    else
        request_free(&c->requests, r);
}

/* Tells the asker a verdict that no helper gave; they may ask or forget others meanwhile. */
static void answer(struct auth_client *c, struct request *r, enum auth_verdict verdict)
{
    auth_done *done = r->done;
    void *owner = r->owner;

    abandon(c, r);
    done(owner, &(struct auth_result){ .verdict = verdict });   /* NOLINT: none asks without it */
}

static void on_soon(void *arg)
{
    struct auth_client *c = arg;
    struct request *r;

    helpers_send(c->helpers);
    while ((r = TAILQ_FIRST(&c->requests.lists.of[REQUEST_SETTLED])) != NULL)
        answer(c, r, r->verdict);
    for (size_t untold = helpers_untold(c->helpers); untold > 0; untold--)
        if (c->lost != NULL)
            c->lost(c->arg);
}

static void on_late(void *arg)
{
    struct auth_client *c = arg;
    struct request *r;

    while ((r = TAILQ_FIRST(&c->requests.asked)) != NULL && r->deadline <= loop_now(c->requests.loop))
        answer(c, r, AUTH_UNAVAILABLE);
    requests_arm_late(&c->requests);
}

/* -------------------------------------------------------- what helpers may say */

/* The request that this helper was sent and has not answered yet; NULL if that is not so. */
static struct request *asked_of(const struct auth_client *c, const struct helper *h, uint64_t id)
{
    struct request *r = idmap_get(c->requests.by_id, id);

    return r != NULL && r->state == REQUEST_SENT && r->helper == h ? r : NULL;
}

static void on_challenge(struct auth_client *c, struct helper *h, const unsigned char *data, size_t len)
{
    struct auth_challenge challenge;
    struct request *r;

    if (!frame_get_challenge(data, len, &challenge)) {
        helper_lost(h, "invalid challenge");
        return;
    }
    r = asked_of(c, h, challenge.id);
    if (r == NULL || !r->may_challenge || (r->exchange != 0 && r->exchange != challenge.exchange)) {
        helper_lost(h, "unexpected challenge");
        return;
    }
    helper_answered(h, r);
    r->exchange = challenge.exchange;
    request_drop_frame(r);
    if (r->done == NULL) {      /* forgotten meanwhile */
        pin_abort(c, r);
        return;
    }
    request_untime(&c->requests, r);
    request_enter(r, &h->lists, REQUEST_CHALLENGED);
    auth_done *done = r->done;
    void *owner = r->owner;
    helpers_send(c->helpers);
    done(owner, &(struct auth_result){ .verdict = AUTH_CHALLENGE, .challenge = challenge.text });
}

/* It takes a slow hash, and this helper has another one to compute. */
static void on_handed_back(struct auth_client *c, struct helper *h, const unsigned char *data, size_t len)
{
    struct request *r;
    uint64_t id;

    if (!frame_get_handed_back(data, len, &id)) {
        helper_lost(h, "invalid answer");
        return;
    }
    r = asked_of(c, h, id);
    if (r == NULL || r->may_challenge || r->slow) {
        helper_lost(h, "handed back what it may not");
        return;
    }
    helper_answered(h, r);
    metric_add(METRIC_AUTH_HANDED_BACK, 1);
    if (r->done == NULL)
        request_free(&c->requests, r);
    else
        request_queue_slow(&c->requests, r);
    helpers_send(c->helpers);
}

static void on_said(void *arg, struct helper *h, const unsigned char *data, size_t len)
{
    struct auth_client *c = arg;
    struct auth_reply reply;

    switch (frame_kind(data, len)) {
    case FRAME_CHALLENGE:
        on_challenge(c, h, data, len);
        return;
    case FRAME_HANDED_BACK:
        on_handed_back(c, h, data, len);
        return;
    default:
        break;
    }
    if (!frame_get_reply(data, len, &reply)) {
        helper_lost(h, "invalid answer");
        return;
    }
    struct request *r = asked_of(c, h, reply.id);
    if (r == NULL) {
        helper_lost(h, "answer to an unknown request");
        return;
    }
    bool unconfirmed = reply.verdict == AUTH_OK_UNCONFIRMED, elsewhere = reply.verdict == AUTH_ELSEWHERE;
    /* What is asked once more is all in one frame: of an exchange that is so before its first challenge. */
    if (unconfirmed && (r->exchange != 0 || r->uncached)) {
        helper_lost(h, "cached answer to a request that must not be answered from the cache");
        return;
    }
    auth_done *done = r->done;
    void *owner = r->owner;
    helper_answered(h, r);
    request_untime(&c->requests, r);
    if (done != NULL && (unconfirmed || elsewhere))
        request_enter(r, &c->requests.lists, REQUEST_UNCONFIRMED);
    else
        request_free(&c->requests, r);
    helpers_send(c->helpers);
    struct elsewhere where = { .server = 0 };

    if (elsewhere)
        (void)elsewhere_parse(reply.elsewhere, &where);     /* the frame has been read: it is one */
    if (done != NULL)
        done(owner, &(struct auth_result){
            .verdict = reply.verdict, .mailbox = reply.mailbox, .address = reply.address, .policy = reply.policy,
            .elsewhere = where, .versions = reply.versions, .guesses = reply.guesses, .ticket = reply.ticket,
        });
}

/* ------------------------------------------------------------ what askers call */

struct auth_client *auth_client_new(struct loop *loop, const int *fds, size_t count, uint64_t deadline_ms,
                                    void (*lost)(void *arg), void *arg)
{
    struct auth_client *c = mem_zalloc(sizeof *c);

    c->lost = lost;
    c->arg = arg;
    requests_init(&c->requests, loop, deadline_ms, on_late, on_soon, c);
    c->helpers = helpers_new(&c->requests, fds, count, on_said, c);
    return c;
}

void auth_client_free(struct auth_client **client)
{
    struct auth_client *c = *client;

    if (c == NULL)
        return;
    *client = NULL;
    requests_end(&c->requests);
    helpers_free(&c->helpers);
    mem_free(c);
}

static struct request *ask(struct auth_client *c, struct span home, auth_done *done, void *owner)
{
    struct request *r = request_new(&c->requests, home);

    r->done = done;
    r->owner = owner;
    request_time(&c->requests, r);
    return r;
}

/* len: of the frame, 0 if it could not be made. */
static void send_first(struct auth_client *c, struct request *r, const struct auth_origin *origin,
                       unsigned char *frame, size_t len)
{
    if (len == 0) {
        /* A name or a password that is too long for any is nobody's, whoever asks. */
        request_settle(&c->requests, r, AUTH_REFUSED);
    } else if (helpers_alive(c->helpers) == 0) {
        request_settle(&c->requests, r, AUTH_UNAVAILABLE);
    } else {
        request_set_frame(r, frame, len);
        request_rank(r, origin);
        request_enter(r, &c->requests.lists, REQUEST_HELD);
    }
    secret_wipe(frame, len);
}

void auth_lane(struct auth_client *c, uint64_t id, uint32_t pid)
{
    struct request *r = idmap_get(c->requests.by_id, id);

    if (r == NULL || r->state != REQUEST_HELD)
        return;
    frame_set_lane(r->frame, r->len, pid);
    if (helpers_alive(c->helpers) == 0) {
        request_settle(&c->requests, r, AUTH_UNAVAILABLE);
        return;
    }
    request_leave(&c->requests, r);
    if (r->first)
        request_queue_first(&c->requests, r);
    else
        request_queue(&c->requests, r);
    helpers_send(c->helpers);
}

uint64_t auth_check_password(struct auth_client *c, struct span name, struct span password,
                             struct span default_domain, const struct auth_origin *origin, const char *session,
                             auth_done *done, void *owner)
{
    unsigned char frame[FRAME_REQUEST_MAX];
    struct request *r = ask(c, name, done, owner);
    const uint64_t id = r->id;
    struct auth_request request = {
        .id = id, .name = name, .password = password, .default_domain = default_domain, .session = span_str(session),
        .origin = { .network = SPAN_OF("") },
    };

    if (origin != NULL)
        request.origin = *origin;
    send_first(c, r, &request.origin, frame, frame_put_request(frame, &request));
    return id;
}

void auth_check_uncached(struct auth_client *c, uint64_t id)
{
    struct request *r = idmap_get(c->requests.by_id, id);

    ASSERT(r != NULL && r->state == REQUEST_UNCONFIRMED);
    r->uncached = true;
    frame_ask_uncached(r->frame, r->len);
    request_time(&c->requests, r);
    if (helpers_alive(c->helpers) == 0) {
        request_settle(&c->requests, r, AUTH_UNAVAILABLE);
        return;
    }
    request_leave(&c->requests, r);
    r->first = true;
    request_enter(r, &c->requests.lists, REQUEST_HELD);
}

/* What it was asked with; false where there is no password in that. */
static bool asked_with(const struct request *r, struct auth_request *out)
{
    struct auth_opening opening;
    uint64_t id;

    if (r->frame == NULL)
        return false;
    if (frame_get_request(r->frame, r->len, out))
        return true;
    if (!frame_get_start(r->frame, r->len, &id, &opening))
        return false;
    out->session = opening.session;
    out->origin = opening.origin;
    (void)mechanism_name(opening.mechanism, opening.initial, &out->name);
    out->default_domain = opening.default_domain;
    return mechanism_password(opening.mechanism, opening.initial, &out->password);
}

bool auth_password(const struct auth_client *c, uint64_t id, struct span *password_r)
{
    const struct request *r = idmap_get(c->requests.by_id, id);
    struct auth_request asked;

    if (r == NULL || r->state != REQUEST_UNCONFIRMED || !asked_with(r, &asked))
        return false;
    *password_r = asked.password;
    return true;
}

static void nobody_hears(void *owner, const struct auth_result *result)
{
    (void)owner;
    (void)result;
}

void auth_report(struct auth_client *c, uint64_t id, bool right, struct span address)
{
    unsigned char frame[FRAME_REQUEST_MAX];
    struct request *r = idmap_get(c->requests.by_id, id);
    struct auth_request asked = { .name = SPAN_OF(""), .default_domain = SPAN_OF("") };

    if (r == NULL || r->state != REQUEST_UNCONFIRMED)
        return;
    if (!asked_with(r, &asked) || helpers_alive(c->helpers) == 0) {
        abandon(c, r);
        return;
    }
    const struct auth_request report = {
        .id = id, .report = right ? REPORT_RIGHT : REPORT_WRONG, .name = right ? address : asked.name,
        .password = right ? asked.password : SPAN_OF(""), .default_domain = right ? SPAN_OF("") : asked.default_domain,
        .session = asked.session, .origin = { .network = asked.origin.network },
    };
    size_t len = frame_put_request(frame, &report);
    request_leave(&c->requests, r);
    request_set_frame(r, frame, len);
    secret_wipe(frame, len);
    r->done = nobody_hears;
    r->may_challenge = r->slow = false;
    request_time(&c->requests, r);
    request_queue(&c->requests, r);
    helpers_send(c->helpers);
}

uint64_t auth_start(struct auth_client *c, const struct auth_opening *opening, auth_done *done, void *owner)
{
    unsigned char frame[FRAME_START_MAX];
    /* The same message goes to the same helper, where several have as little to do. */
    struct request *r = ask(c, opening->initial, done, owner);
    const uint64_t id = r->id;

    r->may_challenge = true;
    send_first(c, r, &opening->origin, frame, frame_put_start(frame, id, opening));
    return id;
}

void auth_respond(struct auth_client *c, uint64_t id, struct span response)
{
    unsigned char frame[FRAME_STEP_MAX];
    struct request *r = idmap_get(c->requests.by_id, id);
    size_t len = frame_put_step(frame, FRAME_RESPOND, &(struct auth_step){ id, r != NULL ? r->exchange : 0, response });

    ASSERT(len > 0 && r != NULL && (r->state == REQUEST_CHALLENGED || r->state == REQUEST_ORPHANED));
    request_time(&c->requests, r);
    if (r->state == REQUEST_ORPHANED) {
        request_settle(&c->requests, r, AUTH_UNAVAILABLE);
    } else {
        request_set_frame(r, frame, len);
        helper_pin(r);
        helpers_send_pinned(c->helpers);
    }
    secret_wipe(frame, len);
}

void auth_forget(struct auth_client *c, uint64_t id)
{
    struct request *r = idmap_get(c->requests.by_id, id);

    if (r != NULL && r->done != NULL)
        abandon(c, r);
}

size_t auth_client_waiting(const struct auth_client *c)
{
    return queue_count(c->requests.waiting);
}

size_t auth_client_alive(const struct auth_client *c)
{
    return helpers_alive(c->helpers);
}

size_t auth_client_silent(const struct auth_client *c)
{
    return helpers_silent(c->helpers);
}
