/*
 * client_helpers.h - the auth helpers of a worker: which one gets the next
 * request, and what becomes of those that a lost one had. For client*.c only.
 */
#ifndef POSTERN_AUTH_CLIENT_HELPERS_H
#define POSTERN_AUTH_CLIENT_HELPERS_H

#include <stddef.h>
#include <stdint.h>

#include "auth/client/client_request.h"

struct helpers;
struct peer;

struct helper {
    struct helpers *all;
    struct peer *peer;      /* NULL: gone */
    size_t load;            /* requests it has, forgotten ones too */
    size_t slow;            /* of these, that most likely take a slow hash: one at a time */
    uint64_t heard;         /* when it answered last, or was given something to do when it had nothing */
    struct request_lists lists;     /* SENT, CHALLENGED, PINNED */
};

/* said(arg, helper, ...): it sent a message. It may call helper_lost() on it. */
typedef void helper_said(void *arg, struct helper *helper, const unsigned char *data, size_t len);

/* fds belong to the helpers from now on; requests outlives them, or is ended before them. */
struct helpers *helpers_new(struct requests *requests, const int *fds, size_t count, helper_said *said, void *arg);
void helpers_free(struct helpers **helpers);
size_t helpers_alive(const struct helpers *helpers);
/* See auth_client_silent(). */
size_t helpers_silent(const struct helpers *helpers);
/* How many were lost since it was last asked. */
size_t helpers_untold(struct helpers *helpers);

/* Sends what can be sent now: of the queue, and before that, or alone, what is pinned. */
void helpers_send(struct helpers *helpers);
void helpers_send_pinned(struct helpers *helpers);
/* It has answered a request that it was sent, or handed it back, which is in no list then. */
void helper_answered(struct helper *helper, struct request *r);
/* The next thing that the request's helper is to be sent is its frame. */
void helper_pin(struct request *r);
/* May be called from within a call of an asker: tells nobody before the next turn. */
void helper_lost(struct helper *helper, const char *why);

#endif
