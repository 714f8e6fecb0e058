/*
 * serve.h - all that a session needs, put together: loop, lanes, auth helpers,
 * POP3. A worker has one for thousands of sessions, --inetd the same for one.
 */
#ifndef POSTERN_SERVE_H
#define POSTERN_SERVE_H

#include <stddef.h>

#include "daemon/config.h"

struct auth_client;
struct loop;
struct pop3_service;
struct recent;
struct store;

struct serve {
    struct loop *loop;
    struct store *store;
    struct auth_client *auth;
    struct pop3_service *pop3;
};

struct serve_calls {
    void (*session_ended)(void *arg);
    void (*wrong_schema)(void *arg, const char *text);
    void *arg;
};

/* auth: the sockets of the helpers, which belong to it from now on. The configuration outlives it. */
void serve_start(struct serve *serve, const struct config *config, const int *auth, size_t auth_count,
                 struct recent *logins, const struct serve_calls *calls);
/* Sessions that are left end without a deletion. */
void serve_stop(struct serve *serve);

#endif
