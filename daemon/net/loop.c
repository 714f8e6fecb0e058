/*
 * loop.c - the event loop on libevent's core. Owns the event base and the list
 * of what is to be done at the end of a turn. Must never let libevent speak for
 * itself: its warnings would go to descriptor 2, which may be a client.
 */
#include "daemon/net/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"

/*
 * What is deferred while deferred calls run is done in the same turn, so that
 * an answer that wakes a session whose next statement is to be sent costs one
 * wait and not three; but not for ever, a file is always ready for another read.
 */
enum { DEFER_ROUNDS = 4, LAST_ROUNDS = 1000 };

/* For so many turns in which something was ready, what is to be done before the wait is left to gather. */
enum { BUSY_TURNS = 4 };

struct deferred {
    loop_cb *cb;
    void *arg;
};

struct deferred_list {
    struct deferred *items;
    size_t count, cap;
};

struct signal_watch {
    struct event event;
    struct loop *loop;
    loop_cb *cb;
    void *arg;
    struct signal_watch *next;
};

struct loop {
    struct event_base *base;
    uint64_t now;
    uint64_t turns;
    bool in_turn;       /* `now` is of this turn */
    bool stop;
    struct deferred_list deferred, running;
    struct deferred_list before_wait, lull;     /* the second one: while they are called */
    int busy_turns;     /* since the first of before_wait was put there */
    struct signal_watch *signals;
};

struct watch {
    struct event event;
    struct loop *loop;
    loop_fd_cb *cb;
    void *arg;
    int fd;
    unsigned events;
};

struct timer {
    struct event event;
    struct loop *loop;
    loop_cb *cb;
    void *arg;
};

static void libevent_says(int severity, const char *text)
{
    if (severity == EVENT_LOG_ERR)
        log_error(NULL, "event loop: %s", text);
    else if (severity == EVENT_LOG_WARN)
        log_warning(NULL, "event loop: %s", text);
}

static void libevent_fails(int code)
{
    (void)code;
    abort();
}

static void *libevent_resize(void *p, size_t size)
{
    return mem_resize(p, size, 1);
}

/* Every callback of libevent comes through here first: the time is read after the wait, once. */
static void turn_begins(struct loop *loop)
{
    if (!loop->in_turn) {
        loop->now = clock_ms();
        loop->turns++;
        loop->in_turn = true;
    }
}

struct loop *loop_new(void)
{
    static bool prepared;
    if (!prepared) {
        event_set_mem_functions(mem_alloc, libevent_resize, mem_free);
        event_set_log_callback(libevent_says);
        event_set_fatal_callback(libevent_fails);
        prepared = true;
    }
    /* A client that closes while we write is an answer of write(), not the end of everybody's process. */
    signal(SIGPIPE, SIG_IGN);

    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct loop *loop = mem_zalloc(sizeof *loop);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    ASSERT(loop->base != NULL);
    loop->now = clock_ms();
    return loop;
}

static void run_deferred(struct loop *loop, int rounds)
{
    for (int round = 0; round < rounds && loop->deferred.count > 0; round++) {
        struct deferred_list list = loop->deferred;
        loop->deferred = loop->running;         /* the empty one */
        loop->running = list;
        for (size_t i = 0; i < list.count; i++)
            list.items[i].cb(list.items[i].arg);
        loop->running.count = 0;
    }
}

static void run_before_wait(struct loop *loop)
{
    struct deferred_list list = loop->before_wait;

    loop->before_wait = loop->lull;             /* the empty one */
    loop->lull = list;
    loop->busy_turns = 0;
    for (size_t i = 0; i < list.count; i++)
        list.items[i].cb(list.items[i].arg);
    loop->lull.count = 0;
}

void loop_free(struct loop **loop_p)
{
    struct loop *loop = *loop_p;
    if (loop == NULL)
        return;
    run_before_wait(loop);
    run_deferred(loop, LAST_ROUNDS);            /* mostly frees */
    while (loop->signals != NULL) {
        struct signal_watch *s = loop->signals;
        loop->signals = s->next;
        event_del(&s->event);
        mem_free(s);
    }
    event_base_free(loop->base);
    mem_free(loop->deferred.items);
    mem_free(loop->running.items);
    mem_free(loop->before_wait.items);
    mem_free(loop->lull.items);
    mem_free(loop);
    *loop_p = NULL;
}

void loop_run(struct loop *loop)
{
    while (!loop->stop) {
        int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
        if (loop->deferred.count > 0 || loop->before_wait.count > 0)
            flags |= EVLOOP_NONBLOCK;
        event_base_loop(loop->base, flags);
        bool nothing = !loop->in_turn;          /* was ready */
        turn_begins(loop);
        run_deferred(loop, DEFER_ROUNDS);
        if (loop->before_wait.count > 0 && (nothing || ++loop->busy_turns > BUSY_TURNS))
            run_before_wait(loop);
        loop->in_turn = false;
    }
    loop->stop = false;
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
}

uint64_t loop_now(const struct loop *loop)
{
    return loop->now;
}

uint64_t loop_turn(const struct loop *loop)
{
    return loop->turns;
}

static void on_descriptor(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    unsigned events = (what & EV_READ ? LOOP_READ : 0u) | (what & EV_WRITE ? LOOP_WRITE : 0u);
    turn_begins(w->loop);
    w->cb(w->arg, fd, events);      /* may free w */
}

struct watch *watch_new(struct loop *loop, int fd, loop_fd_cb *cb, void *arg)
{
    struct watch *w = mem_zalloc(sizeof *w);
    w->loop = loop;
    w->fd = fd;
    w->cb = cb;
    w->arg = arg;
    return w;
}

void watch_set(struct watch *w, unsigned events)
{
    if (w->events == events)
        return;
    if (w->events != 0)
        event_del(&w->event);
    w->events = events;
    if (events == 0)
        return;
    int what = EV_PERSIST | (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);
    event_assign(&w->event, w->loop->base, w->fd, (short)what, on_descriptor, w);
    ASSERT(event_add(&w->event, NULL) == 0);
}

void watch_free(struct watch **w)
{
    if (*w == NULL)
        return;
    watch_set(*w, 0);
    mem_free(*w);
    *w = NULL;
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    struct timer *t = arg;
    (void)fd;
    (void)what;
    turn_begins(t->loop);
    t->cb(t->arg);                  /* may free t */
}

struct timer *timer_new(struct loop *loop, loop_cb *cb, void *arg)
{
    struct timer *t = mem_zalloc(sizeof *t);
    t->loop = loop;
    t->cb = cb;
    t->arg = arg;
    evtimer_assign(&t->event, loop->base, on_time, t);
    return t;
}

void timer_set(struct timer *t, uint64_t ms)
{
    const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    ASSERT(evtimer_add(&t->event, &tv) == 0);
}

void timer_stop(struct timer *t)
{
    evtimer_del(&t->event);
}

void timer_free(struct timer **t)
{
    if (*t == NULL)
        return;
    evtimer_del(&(*t)->event);
    mem_free(*t);
    *t = NULL;
}

static void list_add(struct deferred_list *list, loop_cb *cb, void *arg)
{
    if (list->count == list->cap) {
        list->cap = list->cap > 0 ? list->cap * 2 : 64;
        list->items = mem_resize(list->items, list->cap, sizeof *list->items);
    }
    list->items[list->count++] = (struct deferred){ cb, arg };
}

void loop_defer(struct loop *loop, loop_cb *cb, void *arg)
{
    list_add(&loop->deferred, cb, arg);
}

void loop_before_wait(struct loop *loop, loop_cb *cb, void *arg)
{
    list_add(&loop->before_wait, cb, arg);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct signal_watch *s = arg;
    (void)fd;
    (void)what;
    turn_begins(s->loop);
    s->cb(s->arg);
}

void loop_signal(struct loop *loop, int signo, loop_cb *cb, void *arg)
{
    struct signal_watch *s = mem_zalloc(sizeof *s);
    s->loop = loop;
    s->cb = cb;
    s->arg = arg;
    s->next = loop->signals;
    loop->signals = s;
    evsignal_assign(&s->event, loop->base, signo, on_signal, s);
    ASSERT(evsignal_add(&s->event, NULL) == 0);
}
