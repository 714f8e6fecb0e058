/*
 * frame.h - what goes over the socket between a worker and its auth helper.
 *
 * Pure functions. Both directions are read as if a stranger had written them:
 * whoever sends what is not exactly one of these is dropped.
 */
#ifndef POSTERN_AUTH_FRAME_H
#define POSTERN_AUTH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/client.h"
#include "auth/name.h"
#include "auth/scheme.h"
#include "daemon/base/span.h"

struct auth_request {
    uint64_t id;
    struct span name, password, default_domain;
    struct span session;    /* its id, for the log: lower-case hex digits, or nothing */
};

struct auth_reply {
    uint64_t id;
    enum auth_verdict verdict;
    int64_t mailbox;        /* above zero for AUTH_OK, else 0 */
    struct span address;    /* not empty for AUTH_OK */
};

enum {
    FRAME_SESSION_MAX = 16,
    FRAME_REQUEST_MAX = 1 + 8 + 4 * 2 + 2 * NAME_TYPED_MAX + PASSWORD_MAX + FRAME_SESSION_MAX,
    FRAME_REPLY_MAX = 1 + 8 + 1 + 8 + 2 + NAME_ADDRESS_MAX,
};

/* Octets written; 0 if a part is longer than a frame has room for. */
size_t frame_put_request(unsigned char out[FRAME_REQUEST_MAX], const struct auth_request *request);
size_t frame_put_reply(unsigned char out[FRAME_REPLY_MAX], const struct auth_reply *reply);

/* False if data is not one whole message of that kind. The spans point into data. */
bool frame_get_request(const unsigned char *data, size_t len, struct auth_request *request_r);
bool frame_get_reply(const unsigned char *data, size_t len, struct auth_reply *reply_r);

#endif
