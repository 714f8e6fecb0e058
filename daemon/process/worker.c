/*
 * worker.c - accepts clients and runs their sessions until told to end.
 *
 * It runs without any right but its SQL role's. It must never delete a message
 * because it was told to end: sessions that are closed here close without.
 */
#include "daemon/process/worker.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/host_port.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/thread.h"
#include "daemon/base/traced.h"
#include "daemon/session/trust.h"
#include "daemon/net/fd.h"
#include "daemon/net/listener.h"
#include "daemon/net/loop.h"
#include "daemon/net/passing_gate.h"
#include "daemon/net/proxy_gate.h"
#include "daemon/control/orders.h"
#include "daemon/system/sandbox.h"
#include "daemon/process/serve.h"
#include "daemon/process/sockets.h"
#include "daemon/session/session.h"
#include "storage/deliver/disk.h"
#include "daemon/base/names.h"

/* A client that is on its way in: where, and what was told of it. */
struct arrival {
    struct worker *worker;
    struct arrival *next, *prev;    /* of those whose proxy has not spoken yet */
    size_t index;                   /* of the socket */
    bool tls, own;                  /* as who passed it says; see struct session_entry */
    struct passer *passer;          /* or NULL */
};

struct worker {
    const struct config *config;
    const struct sockets *sockets;
    struct serve serve;
    const struct protocol **speaks; /* of each socket */
    struct trust **trust;           /* of each socket; NULL: whoever comes, or passes a client, may */
    struct proxy_trust **proxies;   /* of each socket; NULL: clients come by themselves */
    struct proxy_gate *gate;
    struct arrival *arrivals;
    struct passing_gate *passing;
    struct listener *listener;      /* NULL: accepts no more, ever */
    bool full;
    size_t give_back_at;            /* when no more clients than this are left of a crowd; 0: there was none */
    unsigned leaving;               /* beats since then */
    struct timer *deadline;         /* of those that drain */
    struct timer *beat;
    int orders;                     /* -1: none come */
    struct watch *orders_watch;
    int status;
};

/* --------------------------------------------------------------- sessions */

/* Sessions, and those whose proxy has not yet told who they are, or who have not been passed yet. */
static size_t clients(const struct worker *w)
{
    return serve_sessions(&w->serve) + (w->gate != NULL ? proxy_gate_waiting(w->gate) : 0) +
           (w->passing != NULL ? passing_gate_waiting(w->passing) : 0);
}

enum { BEAT_MS = 500, CROWD = 256, LEAVING = 4 };

/* Seen where they come: a crowd may have gone again before the next beat. */
static void see_crowd(struct worker *w)
{
    size_t now = clients(w);

    if (now >= CROWD && now / 4 > w->give_back_at) {
        w->give_back_at = now / 4;
        w->leaving = 0;
    }
}

static const struct listener_settings *listener_of(const struct worker *w, size_t index)
{
    return config_listener(w->config, w->sockets->listener[index]);
}

static void start_session(struct worker *w, const struct arrival *a, int fd, const struct proxy_origin *origin)
{
    struct session_entry entry = config_entry(w->config, w->sockets->listener[a->index]);

    if (listener_of(w, a->index)->passed)
        entry.implicit_tls = a->tls;
    entry.origin = origin;
    entry.trust = w->trust[a->index];
    entry.passer = a->passer;
    entry.own = a->own;
    serve_client(&w->serve, w->speaks[a->index], fd, fd, &entry);
}

static void forget_arrival(struct arrival *a)
{
    if (a->prev != NULL)
        a->prev->next = a->next;
    else
        a->worker->arrivals = a->next;
    if (a->next != NULL)
        a->next->prev = a->prev;
    mem_free(a);
}

static void arrive(struct worker *w, struct arrival arrival, int fd)
{
    struct arrival *a;

    if (w->proxies[arrival.index] == NULL) {
        start_session(w, &arrival, fd, NULL);
        return;
    }
    a = mem_alloc(sizeof *a);
    *a = arrival;
    a->worker = w;
    a->next = w->arrivals;
    if (a->next != NULL)
        a->next->prev = a;
    w->arrivals = a;
    proxy_gate_enter(w->gate, fd, w->proxies[a->index], a);
}

/* Root can become whoever may. */
static bool may_pass(const struct worker *w, size_t index, int fd)
{
    struct ucred who = { .uid = (uid_t)-1 };
    socklen_t len = sizeof who;

    return (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == 0) ||
           trust_allows(w->trust[index], fd);
}

static void accepted(void *arg, size_t index, int fd)
{
    struct worker *w = arg;

    if (listener_of(w, index)->passed)
        passing_gate_enter(w->passing, index, fd, may_pass(w, index, fd));
    else
        arrive(w, (struct arrival){ .index = index }, fd);
    see_crowd(w);
    if (w->listener != NULL && clients(w) >= (size_t)w->config->daemon.sessions_per_worker) {
        w->full = true;
        metric_add(METRIC_ACCEPT_PAUSES, 1);
        listener_pause(w->listener);
    }
}

static void session_ended(void *arg)
{
    struct worker *w = arg;

    if (w->listener == NULL) {
        if (clients(w) == 0)
            loop_stop(w->serve.loop);
    } else if (w->full && clients(w) < (size_t)w->config->daemon.sessions_per_worker) {
        w->full = false;
        listener_resume(w->listener);
    }
}

static void header_came(void *arg, void *client, int fd, const struct proxy_origin *origin)
{
    struct worker *w = arg;
    struct arrival a = *(struct arrival *)client;
    struct proxy_origin believed;

    forget_arrival(client);
    if (fd < 0) {
        passer_free(&a.passer);
        session_ended(w);
        return;
    }
    believed = *origin;
    config_believe(w->config, w->sockets->listener[a.index], &believed);
    start_session(w, &a, fd, &believed);
}

/* What is told of a client that is passed must fit where it comes in; the rest is asked of its socket. */
static const char *objection(void *arg, size_t index, const struct passing *message)
{
    const struct worker *w = arg;

    if (w->listener == NULL)
        return "this process accepts no more clients";
    if (strcmp(message->protocol, w->speaks[index]->name) != 0)
        return "another protocol is spoken here";
    if ((message->flags & PASSING_TLS) && !(w->speaks[index]->needs & NEEDS_LOGINS))
        return "there is no TLS for this protocol";
    if ((message->flags & PASSING_TLS) && config_entry(w->config, w->sockets->listener[index]).tls == NULL)
        return "--tls requires a certificate";
    return NULL;
}

static void client_passed(void *arg, size_t index, const struct passing *message, int client, bool own,
                          struct passer *passer)
{
    struct worker *w = arg;

    fd_notice_loss(client, (uint64_t)w->config->daemon.tcp_keepalive, (uint64_t)w->config->daemon.tcp_user_timeout);
    metric_add(METRIC_PASSED, 1);
    arrive(w, (struct arrival){ .index = index, .tls = message->flags & PASSING_TLS, .own = own, .passer = passer },
           client);
}

/* -------------------------------------------------------------------- end */

/* Whose headers are believed; the lists were checked with the configuration. */
static void read_proxies(struct worker *w)
{
    w->proxies = mem_array(w->sockets->count, sizeof *w->proxies);
    for (size_t i = 0; i < w->sockets->count; i++) {
        const char *proxy = config_listener(w->config, w->sockets->listener[i])->proxy;
        char *error = NULL;

        if (proxy[0] == '\0')
            continue;
        w->proxies[i] = proxy_trust_new(proxy, &error);
        ASSERT(w->proxies[i] != NULL);
    }
    w->gate = proxy_gate_new(w->serve.loop, PROXY_PATIENCE_MS, header_came, w);
}

/* Nobody else gets in. */
static void close_gates(struct worker *w)
{
    proxy_gate_free(&w->gate);
    passing_gate_free(&w->passing);
    while (w->arrivals != NULL) {
        passer_free(&w->arrivals->passer);
        forget_arrival(w->arrivals);
    }
}

/* What is spoken where, and who may come, read once: names of users are looked up in files. */
static void read_trust(struct worker *w)
{
    w->speaks = mem_array(w->sockets->count, sizeof *w->speaks);
    w->trust = mem_array(w->sockets->count, sizeof *w->trust);
    for (size_t i = 0; i < w->sockets->count; i++) {
        size_t listener = w->sockets->listener[i];
        char *error = NULL;

        w->speaks[i] = config_protocol(w->config, listener);
        if (!w->speaks[i]->trusts && !config_listener(w->config, listener)->passed)
            continue;
        w->trust[i] = trust_new(config_listener(w->config, listener)->allow, &error);
        if (w->trust[i] == NULL) {
            /* It was checked; a user has vanished since. Then only this host's own may come. */
            log_error(NULL, "listeners: allow: %s", error);
            mem_drop(&error);
            w->trust[i] = trust_new("user:0", &error);
        }
    }
}

/* No new sessions from here on; the end comes with the last one. */
static void retire(void *arg)
{
    struct worker *w = arg;

    if (w->listener == NULL)
        return;
    listener_free(&w->listener);
    /* As long as one of us has them open, clients connect to sockets that nobody accepts from. */
    sockets_close(w->sockets);
    /* Mail servers keep a connection for the next message: they are told to come back. */
    serve_drain(&w->serve);
    if (clients(w) == 0)
        loop_stop(w->serve.loop);
}

static void close_all(void *arg)
{
    struct worker *w = arg;
    size_t left = clients(w);

    retire(w);
    close_gates(w);
    timer_stop(w->deadline);
    if (left > 0) {
        log_info(NULL, "closing %zu sessions that did not end in time", left);
        serve_close_all(&w->serve);
    }
    if (clients(w) == 0)
        loop_stop(w->serve.loop);
}

/*
 * Told once by the master, and perhaps by a service manager, and by the kernel where the master
 * died: the first one counts.
 */
static void drain(void *arg)
{
    struct worker *w = arg;

    retire(w);
    if (w->deadline != NULL)
        return;
    w->deadline = timer_new(w->serve.loop, close_all, w);
    timer_set(w->deadline, (uint64_t)w->config->daemon.drain_time);
}

static void close_now(void *arg)
{
    drain(arg);
    close_all(arg);
}

/* Sessions on lanes that still answer may finish: an upgrade is under way, or was forgotten. */
static void wrong_schema(void *arg, const char *text)
{
    struct worker *w = arg;

    if (w->status == EXIT_SUCCESS)
        log_error(NULL, "%s", text);
    w->status = WORKER_WRONG_SCHEMA;
    drain(w);
}

/* ------------------------------------------------------ gauges and orders */

/*
 * What a crowd took is free when it has left, but lies scattered, and the
 * allocator keeps it for as long as we live unless it is asked: whenever three
 * quarters of those have left who were there when it was asked last, and some
 * beats later, as what they read comes back when the database has answered.
 */
static void give_back(struct worker *w)
{
    size_t now = clients(w);

    if (w->give_back_at > 0 && now <= w->give_back_at && ++w->leaving == LEAVING) {
        malloc_trim(0);
        w->leaving = 0;
        w->give_back_at = now / 4;
    }
}

static void beat(void *arg)
{
    struct worker *w = arg;

    serve_measure(&w->serve);
    give_back(w);
    timer_set(w->beat, BEAT_MS);
}

/* To the operator, who may have left; the worker never waits for them. */
static void tell_operator(int fd, struct span text)
{
    (void)!send(fd, text.at, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

struct kicking {
    int operator;
    struct buf text;
};

static void kicked(void *arg, const char *id, struct span address)
{
    struct kicking *k = arg;

    buf_addf(&k->text, "%s %s\n", id, address.len > 0 ? log_text(address).s : "-");
}

static void kick(struct worker *w, const struct order *order, int operator)
{
    struct kicking k = { operator, BUF_EMPTY };

    for (size_t i = 0; i < PROTOCOLS; i++)
        if (w->serve.services[i] != NULL)
            service_kick(w->serve.services[i], span_str(order->subject), kicked, &k);
    buf_add_str(&k.text, "done\n");
    if (operator >= 0)
        tell_operator(operator, buf_span(&k.text));
    buf_free(&k.text);
}

static void on_order(void *arg, int fd, unsigned events)
{
    struct worker *w = arg;
    struct order order = { .until = 0 };
    int operator, outcome = orders_receive(fd, &order, &operator);

    (void)events;
    if (outcome < 0)
        watch_set(w->orders_watch, 0);
    if (outcome <= 0)
        return;
    switch (order.what) {
    case ORDER_KICK:
        kick(w, &order, operator);
        break;
    case ORDER_TRACE:
        traced_set(order.subject, order.until, loop_now(w->serve.loop));
        break;
    }
    if (operator >= 0)
        close(operator);
}

static void start_duties(struct worker *w, int orders)
{
    w->beat = timer_new(w->serve.loop, beat, w);
    beat(w);
    w->orders = orders;
    if (orders < 0)
        return;
    w->orders_watch = watch_new(w->serve.loop, orders, on_order, w);
    watch_set(w->orders_watch, LOOP_READ);
}

static void end_duties(struct worker *w)
{
    timer_free(&w->beat);
    if (w->orders < 0)
        return;
    watch_free(&w->orders_watch);
    close(w->orders);
}

/* -------------------------------------------------------------------- run */

/*
 * The C library gives memory back whenever 128 KB are free at the end of the
 * heap, as after each answer of the database with messages in it, and takes it
 * anew, page by page, for the next one. What a crowd has left give_back() sees to.
 */
static void keep_memory(void)
{
    enum { KEPT = 2 << 20, MAPPED = 1 << 20 };

    mallopt(M_TRIM_THRESHOLD, KEPT);
    mallopt(M_MMAP_THRESHOLD, MAPPED);
}

/* A thread is let out no further than we are. */
static void confine(void *config)
{
    sandbox_enter(SANDBOX_WORKER, config);
}

/* Old servers have names, too. */
static void add_names(const struct config *config)
{
    struct span list = span_str(config->pop3.pop3_relay_servers), word;
    struct host_port server;

    while (host_port_next(&list, &server, &word) > 0)
        names_add(server.host);
}

int worker_run(const struct config *config, unsigned serves, const struct sockets *sockets, const int *auth,
               size_t auth_count, const struct serve_shared *shared, int orders)
{
    struct worker w = { .config = config, .sockets = sockets, .status = EXIT_SUCCESS };
    sigset_t none;

    keep_memory();
    read_trust(&w);
    if (protocols_need(serves) & NEEDS_LOGINS)
        add_names(config);
    names_start((const char *const []){ config->conninfo_mail, config->conninfo_lmtp }, 2);
    if ((protocols_need(serves) & NEEDS_DELIVERIES) && !disk_start())
        log_warning(NULL,
                    "no thread for lmtp_spool_dir: a slow disk will delay all sessions of this worker");
    threads_confine(confine, (void *)(uintptr_t)config);
    names_await();
    sandbox_enter(SANDBOX_WORKER, config);
    serve_start(&w.serve, config, serves, auth, auth_count, shared,
                &(struct serve_calls){ .session_ended = session_ended, .wrong_schema = wrong_schema, .arg = &w });
    read_proxies(&w);
    w.passing = passing_gate_new(w.serve.loop, &(struct passing_calls){
        .objection = objection, .came = client_passed, .left = session_ended, .arg = &w
    });
    /* Clients inherit it, so that none costs a system call for it. */
    for (size_t i = 0; i < sockets->count; i++) {
        (void)fd_prompt(sockets->fds[i]);
        fd_notice_loss(sockets->fds[i], (uint64_t)config->daemon.tcp_keepalive,
                       (uint64_t)config->daemon.tcp_user_timeout);
    }
    w.listener = listener_new(w.serve.loop, sockets->fds, sockets->count, accepted, &w);
    start_duties(&w, orders);
    loop_signal(w.serve.loop, WORKER_RETIRE, retire, &w);
    loop_signal(w.serve.loop, WORKER_DRAIN, drain, &w);
    loop_signal(w.serve.loop, WORKER_CLOSE, close_now, &w);
    /* What the master said since the fork has waited until now. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    loop_run(w.serve.loop);

    listener_free(&w.listener);
    timer_free(&w.deadline);
    end_duties(&w);
    close_gates(&w);
    serve_stop(&w.serve);
    for (size_t i = 0; i < sockets->count; i++) {
        trust_free(&w.trust[i]);
        proxy_trust_free(&w.proxies[i]);
    }
    mem_free(w.speaks);
    mem_free(w.trust);
    mem_free(w.proxies);
    return w.status;
}
