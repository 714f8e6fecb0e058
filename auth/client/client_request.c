/*
 * client_request.c - the states and lists of requests (see client_request.h).
 *
 * Owns the requests, with their passwords until they are answered. Must never
 * let one be in two lists, nor free a frame that it has not wiped.
 */
#include "auth/client/client_request.h"

#include <string.h>

#include "daemon/base/fnv.h"
#include "daemon/base/idmap.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"

enum { WAITING_MAX = 4096 };    /* requests that no helper has yet */

void request_lists_init(struct request_lists *lists)
{
    for (int state = 0; state < REQUEST_STATES; state++)
        TAILQ_INIT(&lists->of[state]);
}

void requests_init(struct requests *q, struct loop *loop, uint64_t deadline_ms,
                   void (*late)(void *arg), void (*soon)(void *arg), void *arg)
{
    q->loop = loop;
    q->deadline_ms = deadline_ms;
    q->by_id = idmap_new();
    TAILQ_INIT(&q->asked);
    request_lists_init(&q->lists);
    q->waiting = queue_new(WAITING_MAX);
    q->late = timer_new(loop, late, arg);
    q->soon = timer_new(loop, soon, arg);
}

static void free_each(void *p, void *arg)
{
    request_free(arg, p);
}

void requests_end(struct requests *q)
{
    idmap_each(q->by_id, free_each, q);
    timer_free(&q->late);
    timer_free(&q->soon);
    idmap_free(&q->by_id);
    queue_free(&q->waiting);
}

void requests_soon(struct requests *q)
{
    timer_set(q->soon, 0);
}

void requests_arm_late(struct requests *q)
{
    const struct request *first = TAILQ_FIRST(&q->asked);

    if (first == NULL) {
        timer_stop(q->late);
        return;
    }
    uint64_t now = loop_now(q->loop);
    timer_set(q->late, first->deadline > now ? first->deadline - now : 0);
}

/* ---------------------------------------------------------------- a request */

struct request *request_new(struct requests *q, struct span home)
{
    struct request *r = mem_zalloc(sizeof *r);

    r->id = idmap_put(q->by_id, r);
    r->spread = fnv1a(FNV1A_EMPTY, home);     /* names over helpers, no more */
    return r;
}

void request_free(struct requests *q, struct request *r)
{
    request_leave(q, r);
    request_untime(q, r);
    idmap_take(q->by_id, r->id);
    request_drop_frame(r);
    mem_free(r);
}

void request_drop_frame(struct request *r)
{
    if (r->frame != NULL)
        secret_wipe(r->frame, r->len);
    mem_free(r->frame);
    r->frame = NULL;
    r->len = 0;
}

void request_set_frame(struct request *r, const unsigned char *frame, size_t len)
{
    request_drop_frame(r);
    r->frame = mem_alloc(len);
    memcpy(r->frame, frame, len);
    r->len = len;
}

void request_time(struct requests *q, struct request *r)
{
    ASSERT(!r->timed);
    r->timed = true;
    r->deadline = loop_now(q->loop) + q->deadline_ms;
    TAILQ_INSERT_TAIL(&q->asked, r, by_time);
    if (TAILQ_FIRST(&q->asked) == r)
        requests_arm_late(q);
}

void request_untime(struct requests *q, struct request *r)
{
    if (r->timed)
        TAILQ_REMOVE(&q->asked, r, by_time);
    r->timed = false;
}

/* ------------------------------------------------------------ states and lists */

void request_leave(struct requests *q, struct request *r)
{
    if (r->state == REQUEST_WAITING)
        queue_remove(q->waiting, &r->place);
    else if (r->state != REQUEST_NOWHERE)
        TAILQ_REMOVE(&r->lists->of[r->state], r, in_state);
    r->state = REQUEST_NOWHERE;
    r->lists = NULL;
}

void request_enter(struct request *r, struct request_lists *lists, enum request_state state)
{
    ASSERT(r->state == REQUEST_NOWHERE && state != REQUEST_NOWHERE && state != REQUEST_WAITING);
    r->state = state;
    r->lists = lists;
    TAILQ_INSERT_TAIL(&lists->of[state], r, in_state);
}

void request_settle(struct requests *q, struct request *r, enum auth_verdict verdict)
{
    request_leave(q, r);
    r->verdict = verdict;
    request_enter(r, &q->lists, REQUEST_SETTLED);
    requests_soon(q);
}

/* The request that the queue has let go. */
static struct request *out_of_queue(struct queue_place *place)
{
    struct request *r = (struct request *)(void *)((char *)place - offsetof(struct request, place));

    r->state = REQUEST_NOWHERE;
    return r;
}

/* Where origins are not counted, each name is in a line of its own. */
void request_rank(struct request *r, const struct auth_origin *origin)
{
    bool trusted = origin->network.len == 0;        /* nobody counts there */

    r->line = origin->line != 0 ? origin->line : r->spread;
    r->place.rank = origin->good || trusted ? QUEUE_GOOD : origin->failed ? QUEUE_FAILED : QUEUE_NEW;
    r->slow = r->place.rank != QUEUE_GOOD;
}

void request_queue(struct requests *q, struct request *r)
{
    ASSERT(r->state == REQUEST_NOWHERE);
    r->state = REQUEST_WAITING;
    struct queue_place *lost = queue_put(q->waiting, &r->place, r->line, r->place.rank);
    if (lost != NULL)
        request_settle(q, out_of_queue(lost), AUTH_UNAVAILABLE);
}

void request_queue_slow(struct requests *q, struct request *r)
{
    r->slow = true;
    r->place.rank = QUEUE_SLOW;
    request_queue(q, r);
}

void request_queue_first(struct requests *q, struct request *r)
{
    ASSERT(r->state == REQUEST_NOWHERE);
    r->state = REQUEST_WAITING;
    queue_put_first(q->waiting, &r->place);
}

struct request *request_take(struct requests *q, enum queue_rank lowest)
{
    struct queue_place *place = queue_take(q->waiting, lowest);

    return place != NULL ? out_of_queue(place) : NULL;
}
