/*
 * frame.h - what goes over the socket between a worker and its auth helper.
 *
 * Pure functions. Both directions are read as if a stranger had written them:
 * a peer that sends anything else is dropped.
 */
#ifndef POSTERN_AUTH_FRAME_H
#define POSTERN_AUTH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/elsewhere.h"
#include "auth/login.h"
#include "auth/name.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

/* What an old server has said of a password that this helper, or another, had no verdict on. */
enum auth_report { REPORT_NONE, REPORT_RIGHT, REPORT_WRONG };

struct auth_request {
    uint64_t id;
    struct span name, password, default_domain;
    struct span session;    /* its id, for the log: lower-case hex digits, or nothing */
    struct auth_origin origin;      /* but for `line` and `failed`, which are the worker's own */
    bool uncached;          /* no cached login is good enough: look at what is stored now */
    uint32_t lane;          /* process of the connection that is to open the maildrop: for its ticket */
    bool slow;              /* most likely it takes a slow hash: it is not to be handed back */
    /*
     * Other than REPORT_NONE: nothing is asked. The name is the address of the mailbox; of a wrong
     * one it is as typed, and the password is left out. The answer is AUTH_UNAVAILABLE, for nobody.
     */
    enum auth_report report;
};

/* Goes on with an exchange, or ends one that nobody waits for any more. */
struct auth_step {
    uint64_t id;
    uint64_t exchange;      /* as the challenge named it */
    struct span response;   /* empty where it is ended */
};

struct auth_challenge {
    uint64_t id;
    uint64_t exchange;      /* the helper's name for it, never 0 */
    struct span text;
};

struct auth_reply {
    uint64_t id;
    enum auth_verdict verdict;
    /* one for AUTH_OK and AUTH_OK_UNCONFIRMED; of AUTH_ELSEWHERE one or none, as it may not exist here */
    struct mailbox_ref mailbox;
    struct span address;    /* not empty for these */
    uint32_t guesses;
    struct auth_policy policy;      /* of these three; not sent else */
    struct mailbox_versions versions;   /* of AUTH_OK_UNCONFIRMED, its proof not 0; not sent else */
    struct mailbox_ticket ticket;   /* of AUTH_OK and AUTH_OK_UNCONFIRMED; not sent else */
    struct span elsewhere;  /* of AUTH_ELSEWHERE, a text that elsewhere_parse() takes; not sent else */
};

enum {
    FRAME_SESSION_MAX = 16,
    FRAME_NETWORK_MAX = 64,
    FRAME_ORIGIN_MAX = 2 + FRAME_NETWORK_MAX + 1,
    FRAME_POLICY_MAX = 1 + 2 + AUTH_MAINTENANCE_MAX + 2 * 4 + 2 * 8 + 2 * 4,
    FRAME_REQUEST_MAX = 1 + 8 + 1 + 4 + 4 * 2 + 2 * NAME_TYPED_MAX + PASSWORD_MAX + FRAME_SESSION_MAX +
                        FRAME_ORIGIN_MAX,
    FRAME_BINDING_MAX = 64,
    FRAME_TIMESTAMP_MAX = 512,
    FRAME_START_MAX = 1 + 8 + 3 + 4 + 7 * 2 + AUTH_MESSAGE_MAX + NAME_TYPED_MAX + FRAME_SESSION_MAX +
                      2 * FRAME_BINDING_MAX + NAME_ADDRESS_MAX + FRAME_TIMESTAMP_MAX + FRAME_ORIGIN_MAX,
    FRAME_STEP_MAX = 1 + 8 + 8 + 2 + AUTH_MESSAGE_MAX,
    FRAME_MAILBOX = 8,
    FRAME_REPLY_MAX = 1 + 8 + 1 + FRAME_MAILBOX + 2 + NAME_ADDRESS_MAX + 4 + FRAME_POLICY_MAX + 2 * 8 +
                      MAILBOX_TICKET + 2 + ELSEWHERE_MAX,
    FRAME_CHALLENGE_MAX = 1 + 8 + 8 + 2 + AUTH_CHALLENGE_MAX,
    FRAME_HANDED_BACK_MAX = 1 + 8,
};

/* What a message says it is; whether it is one, the frame_get_ function of that kind tells. */
enum frame_kind {
    FRAME_CHECK_PASSWORD = 1,
    FRAME_VERDICT = 2,
    FRAME_START = 3,
    FRAME_RESPOND = 4,
    FRAME_ABORT = 5,
    FRAME_CHALLENGE = 6,
    /* Of a password: it takes a slow hash, and would wait here for another one. Nothing was decided. */
    FRAME_HANDED_BACK = 7,
};
/* 0 for an empty one. */
unsigned frame_kind(const unsigned char *data, size_t len);

/* Octets written; 0 if a part is longer than a frame has room for. */
size_t frame_put_request(unsigned char out[FRAME_REQUEST_MAX], const struct auth_request *request);
/* Makes a request or a start that was put say `uncached`. */
void frame_ask_uncached(unsigned char *frame, size_t len);
/* Makes a request that was put say `slow`. */
void frame_ask_slow(unsigned char *request, size_t len);
/* The same for the lane, of a request or of a start. */
void frame_set_lane(unsigned char *frame, size_t len, uint32_t lane);
size_t frame_put_reply(unsigned char out[FRAME_REPLY_MAX], const struct auth_reply *reply);

/* False if data is not one whole message of that kind. The spans point into data. */
bool frame_get_request(const unsigned char *data, size_t len, struct auth_request *request_r);
bool frame_get_reply(const unsigned char *data, size_t len, struct auth_reply *reply_r);

/* The same for exchanges. */
size_t frame_put_start(unsigned char out[FRAME_START_MAX], uint64_t id, const struct auth_opening *opening);
bool frame_get_start(const unsigned char *data, size_t len, uint64_t *id_r, struct auth_opening *opening_r);
/* kind: FRAME_RESPOND or FRAME_ABORT. */
size_t frame_put_step(unsigned char out[FRAME_STEP_MAX], enum frame_kind kind, const struct auth_step *step);
bool frame_get_step(const unsigned char *data, size_t len, enum frame_kind kind, struct auth_step *step_r);
size_t frame_put_challenge(unsigned char out[FRAME_CHALLENGE_MAX], const struct auth_challenge *challenge);
bool frame_get_challenge(const unsigned char *data, size_t len, struct auth_challenge *challenge_r);

size_t frame_put_handed_back(unsigned char out[FRAME_HANDED_BACK_MAX], uint64_t id);
bool frame_get_handed_back(const unsigned char *data, size_t len, uint64_t *id_r);

#endif
