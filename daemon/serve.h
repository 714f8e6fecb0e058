/*
 * serve.h - all that a session needs, put together: loop, lanes, auth helpers,
 * POP3 and LMTP. A worker has one for thousands of sessions, --inetd the same for one.
 */
#ifndef POSTERN_SERVE_H
#define POSTERN_SERVE_H

#include <stddef.h>

#include "daemon/config.h"

struct auth_client;
struct deliver;
struct loop;
struct pop3_service;
struct recent;
struct store;

struct serve {
    struct loop *loop;
    struct store *store;
    struct auth_client *auth;
    struct pop3_service *pop3;      /* NULL: not served */
    struct deliver *deliver;
    struct lmtp_service *lmtp;      /* NULL: not served */
};

enum { SERVE_POP3 = 1, SERVE_LMTP = 2 };

struct serve_calls {
    void (*session_ended)(void *arg);
    void (*wrong_schema)(void *arg, const char *text);
    void *arg;
};

/* what: SERVE_POP3, SERVE_LMTP or both. auth: the sockets of the helpers, which belong to it from now on. The configuration outlives it. */
void serve_start(struct serve *serve, const struct config *config, unsigned what, const int *auth, size_t auth_count,
                 struct recent *logins, const struct serve_calls *calls);
/* Sessions that are left end without a deletion. */
void serve_stop(struct serve *serve);
/* Of both protocols. */
size_t serve_sessions(const struct serve *serve);

#endif
