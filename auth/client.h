/*
 * client.h - the worker's side of authentication: ask a helper, by id.
 *
 * The worker never sees what is stored: it hands over what the client sent and
 * gets a verdict. A helper that is gone or late is AUTH_UNAVAILABLE, never a
 * refusal.
 */
#ifndef POSTERN_AUTH_CLIENT_H
#define POSTERN_AUTH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"

struct loop;
struct auth_client;

enum auth_verdict {
    AUTH_OK,            /* this mailbox */
    AUTH_REFUSED,       /* unknown, disabled or wrong: nobody is told which */
    AUTH_UNAVAILABLE,   /* cannot tell now: database or helper gone, time ran out, queue full */
    AUTH_BROKEN,        /* an operator has to act: a stored secret that no scheme knows, a wrong schema */
};

struct auth_result {
    enum auth_verdict verdict;
    int64_t mailbox;        /* AUTH_OK: which */
    struct span address;    /* AUTH_OK: its address, as stored; else the name as it was understood, or empty. Valid in the callback */
};

typedef void auth_done(void *owner, const struct auth_result *result);

/*
 * fds: one peer socket per helper; they belong to the client from now on.
 * lost(arg), which may be NULL, is called from the loop when a helper has gone.
 */
struct auth_client *auth_client_new(struct loop *loop, const int *fds, size_t count, uint64_t deadline_ms,
                                    void (*lost)(void *arg), void *arg);
/* Nobody who still waits is told. Not from within a callback of this client. */
void auth_client_free(struct auth_client **client);

/*
 * Is this the password of this name? default_domain is added to a name without
 * `@`; empty where there is none. session is the id that the log shows (hex
 * digits, at most 16). done comes later, never from within, unless
 * auth_forget() was called. Copies of the password are wiped. Returns the id
 * of the request, never 0.
 */
uint64_t auth_check_password(struct auth_client *client, struct span name, struct span password,
                             struct span default_domain, const char *session, auth_done *done, void *owner);
/* The asker has gone: its answer is thrown away. An id that is over is allowed. */
void auth_forget(struct auth_client *client, uint64_t id);
/* How many helpers are there, of how many. */
size_t auth_client_alive(const struct auth_client *client);

#endif
