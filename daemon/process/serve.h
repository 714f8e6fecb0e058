/*
 * serve.h - all that a session needs, put together: loop, lanes, auth helpers,
 * protocols. A worker has one for thousands of sessions, --inetd the same for one.
 */
#ifndef POSTERN_SERVE_H
#define POSTERN_SERVE_H

#include <stddef.h>

#include "daemon/config/config.h"

struct auth_client;
struct deliver;
struct loop;
struct service;
struct limits;
struct recent;
struct store;

struct serve {
    struct loop *loop;
    size_t lanes;                   /* as configured */
    struct store *store;
    struct auth_client *auth;
    struct deliver *deliver;
    struct service *services[PROTOCOLS];    /* NULL: not served */
    struct timer *log_timer;        /* runs while lines of the log wait */
    uint64_t log_pause;
};

struct serve_calls {
    void (*session_ended)(void *arg);
    void (*wrong_schema)(void *arg, const char *text);
    void *arg;
};

/* What all cells share; NULL, NULL and -1 where there is one session only. */
struct serve_shared {
    struct recent *logins;
    struct limits *limits;
    int limits_area;        /* of this process */
};

/*
 * serves: a set of protocols. auth: the sockets of the helpers, which belong to it from now on.
 * The configuration outlives it.
 */
void serve_start(struct serve *serve, const struct config *config, unsigned serves, const int *auth,
                 size_t auth_count, const struct serve_shared *shared, const struct serve_calls *calls);
/* A client is there, of a protocol that is served. */
void serve_client(struct serve *serve, const struct protocol *protocol, int in, int out,
                  const struct session_entry *entry);
/* All of them are asked to drain, or to end (daemon/session/session.h). */
void serve_drain(struct serve *serve);
void serve_close_all(struct serve *serve);
/* Sessions that are left end without a deletion. */
void serve_stop(struct serve *serve);
/* Sets the gauges of this process (metrics.h). */
void serve_measure(const struct serve *serve);
/* Of all protocols. */
size_t serve_sessions(const struct serve *serve);

#endif
