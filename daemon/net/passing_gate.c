/*
 * passing_gate.c - waits for the messages of passers. Owns their connections,
 * and a client only for as long as it takes to say that it is taken.
 *
 * A client is never served here and there: what comes is shown to its owner only
 * after the passer's kernel has taken the answer.
 */
#include "daemon/net/passing_gate.h"

#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"

enum { COMPLAIN_MS = 60000 };

/* One that has passed nothing yet. */
struct caller {
    struct passing_gate *gate;
    struct caller *next, *prev;
    size_t index;
    int fd;
    struct ucred who;
    struct watch *watch;        /* both NULL before it has to wait */
    struct timer *timer;
};

struct passing_gate {
    struct loop *loop;
    struct passing_calls calls;
    struct caller *callers;
    size_t count;
    uint64_t complained;        /* when the log was told last; 0: never */
};

struct passer {
    struct loop *loop;
    int fd;
    struct watch *watch;
    void (*gone)(void *arg);
    void *arg;
};

/* --- a passer that stays --- */

static struct passer *passer_new(struct loop *loop, int fd)
{
    struct passer *p = mem_zalloc(sizeof *p);

    p->loop = loop;
    p->fd = fd;
    return p;
}

/* It has nothing more to say: whatever comes is its end. */
static void on_passer(void *arg, int fd, unsigned events)
{
    struct passer *p = arg;

    (void)fd, (void)events;
    watch_set(p->watch, 0);
    p->gone(p->arg);            /* may free us */
}

void passer_watch(struct passer *p, void (*gone)(void *arg), void *arg)
{
    watch_free(&p->watch);
    p->gone = gone;
    p->arg = arg;
    if (gone == NULL)
        return;
    p->watch = watch_new(p->loop, p->fd, on_passer, p);
    watch_set(p->watch, LOOP_READ);
}

void passer_free(struct passer **passer)
{
    struct passer *p = *passer;

    *passer = NULL;
    if (p == NULL)
        return;
    watch_free(&p->watch);
    close(p->fd);
    mem_free(p);
}

/* --- the gate --- */

struct passing_gate *passing_gate_new(struct loop *loop, const struct passing_calls *calls)
{
    struct passing_gate *gate = mem_zalloc(sizeof *gate);

    gate->loop = loop;
    gate->calls = *calls;
    return gate;
}

/* Its connection stays open. */
static void caller_free(struct caller *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->gate->callers = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->gate->count--;
    watch_free(&c->watch);
    timer_free(&c->timer);
    mem_free(c);
}

static void hang_up(struct caller *c)
{
    int fd = c->fd;

    caller_free(c);
    close(fd);
}

/* A passer that is refused serves its client itself: that costs more, so somebody should know. */
static void turn_away(struct caller *c, const char *why)
{
    struct passing_gate *gate = c->gate;
    uint64_t now = loop_now(gate->loop);

    if (gate->complained == 0 || now - gate->complained >= COMPLAIN_MS) {
        gate->complained = now;
        log_warning(NULL, "process %ld of user %ld was refused to pass a client: %s; not logged again for a minute",
                    (long)c->who.pid, (long)c->who.uid, why);
    }
    (void)passing_answer(c->fd, PASSING_REFUSED);
    hang_up(c);
    gate->calls.left(gate->calls.arg);
}

static bool is_own(const struct caller *c, int client)
{
    struct ucred made_by = { .uid = (uid_t)-1 };
    socklen_t len = sizeof made_by;

    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &made_by, &len) == 0 && made_by.uid != (uid_t)-1 &&
           made_by.uid == c->who.uid;
}

static void take(struct caller *c, const struct passing *message, int client)
{
    struct passing_gate *gate = c->gate;
    const char *objection = gate->calls.objection(gate->calls.arg, c->index, message);
    const size_t index = c->index;
    const bool own = is_own(c, client);
    struct passer *passer = NULL;

    if (objection != NULL) {
        close(client);
        turn_away(c, objection);
        return;
    }
    if (!passing_answer(c->fd, PASSING_TAKEN)) {
        log_debug(NULL, "process %ld passed a client and has gone", (long)c->who.pid);
        close(client);
        hang_up(c);
        gate->calls.left(gate->calls.arg);
        return;
    }
    log_debug(NULL, "process %ld of user %ld passed a client for %s", (long)c->who.pid, (long)c->who.uid,
              message->protocol);
    if (message->flags & PASSING_STAY) {
        passer = passer_new(gate->loop, c->fd);
        caller_free(c);
    } else {
        hang_up(c);
    }
    gate->calls.came(gate->calls.arg, index, message, client, own, passer);
}

/* Zero: it has to wait. */
static int look(struct caller *c)
{
    struct passing message;
    const char *wrong = NULL;
    int client, outcome = passing_receive(c->fd, &message, &client, &wrong);

    if (outcome > 0)
        take(c, &message, client);
    else if (outcome < 0)
        turn_away(c, wrong);
    return outcome;
}

static void on_message(void *arg, int fd, unsigned events)
{
    (void)fd, (void)events;
    (void)look(arg);
}

static void on_time(void *arg)
{
    turn_away(arg, "it has passed nothing in time");
}

void passing_gate_enter(struct passing_gate *gate, size_t index, int fd, bool allowed)
{
    struct caller *c = mem_zalloc(sizeof *c);
    socklen_t len = sizeof c->who;

    *c = (struct caller){ .gate = gate, .next = gate->callers, .index = index, .fd = fd };
    if (c->next != NULL)
        c->next->prev = c;
    gate->callers = c;
    gate->count++;
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->who, &len);
    if (!allowed)
        turn_away(c, "not in `allow` of the listener");
    else if (gate->count > PASSING_WAITING_MAX)
        turn_away(c, "too many have passed nothing yet");
    else if (look(c) == 0) {
        c->watch = watch_new(gate->loop, fd, on_message, c);
        watch_set(c->watch, LOOP_READ);
        c->timer = timer_new(gate->loop, on_time, c);
        timer_set(c->timer, PASSING_PATIENCE_MS);
    }
}

size_t passing_gate_waiting(const struct passing_gate *gate)
{
    return gate->count;
}

void passing_gate_free(struct passing_gate **gate_p)
{
    struct passing_gate *gate = *gate_p;

    *gate_p = NULL;
    if (gate == NULL)
        return;
    while (gate->callers != NULL)
        hang_up(gate->callers);
    mem_free(gate);
}
