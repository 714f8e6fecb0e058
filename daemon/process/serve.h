/*
 * serve.h - all that a session needs, put together: loop, lanes, auth helpers,
 * POP3 and LMTP. A worker has one for thousands of sessions, --inetd the same for one.
 */
#ifndef POSTERN_SERVE_H
#define POSTERN_SERVE_H

#include <stddef.h>

#include "daemon/config/config.h"

struct auth_client;
struct deliver;
struct loop;
struct pop3_service;
struct limits;
struct recent;
struct store;

struct serve {
    struct loop *loop;
    size_t lanes;                   /* as configured */
    struct store *store;
    struct auth_client *auth;
    struct pop3_service *pop3;      /* NULL: not served */
    struct deliver *deliver;
    struct lmtp_service *lmtp;      /* NULL: not served */
    struct timer *log_timer;        /* runs while lines of the log wait */
    uint64_t log_pause;
};

enum { SERVE_POP3 = 1, SERVE_LMTP = 2 };

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
 * what: SERVE_POP3, SERVE_LMTP or both. auth: the sockets of the helpers, which belong to it from
 * now on. The configuration outlives it.
 */
void serve_start(struct serve *serve, const struct config *config, unsigned what, const int *auth, size_t auth_count,
                 const struct serve_shared *shared, const struct serve_calls *calls);
/* Sessions that are left end without a deletion. */
void serve_stop(struct serve *serve);
/* Sets the gauges of this process (metrics.h). */
void serve_measure(const struct serve *serve);
/* Of both protocols. */
size_t serve_sessions(const struct serve *serve);

#endif
