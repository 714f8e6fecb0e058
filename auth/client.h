/*
 * client.h - the worker's side of authentication: ask a helper, by id.
 *
 * The worker never sees what is stored: it hands over what the client sent and
 * gets a verdict, or a challenge that the client has to answer first: an
 * exchange, which stays with its helper to the end. A helper that is gone or
 * late is AUTH_UNAVAILABLE, never a refusal.
 */
#ifndef POSTERN_AUTH_CLIENT_H
#define POSTERN_AUTH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/mechanism.h"
#include "daemon/base/span.h"

struct loop;
struct auth_client;

enum auth_verdict {
    AUTH_OK,            /* this mailbox */
    AUTH_OK_UNCONFIRMED,    /* the same from the cache: nobody hears so before it is confirmed, see auth_check_uncached() */
    AUTH_REFUSED,       /* unknown, disabled or wrong: nobody is told which */
    AUTH_UNAVAILABLE,   /* cannot tell now: database or helper gone, time ran out, queue full */
    AUTH_BROKEN,        /* an operator has to act: a stored secret that no scheme knows, a wrong schema */
    AUTH_CHALLENGE,     /* of an exchange: send it to the client, then auth_respond() or auth_forget() */
};

enum {
    AUTH_MESSAGE_MAX = 9216,    /* octets of a client's message in an exchange: 12,288 in base64 (RFC 5034 section 4) */
    AUTH_CHALLENGE_MAX = 4096,
};

/* What holds for the mailbox, as the operator has set it: tables postern.policy and guess (sql/0007, 0009). */
enum { AUTH_UNSET = -1, AUTH_MAINTENANCE_MAX = 200 };

struct auth_policy {
    bool pop3;                  /* it may be logged in to */
    bool tls_only;
    bool replace_nul;           /* send NUL octets as 0x80 */
    bool trace;                 /* log the dialogue */
    struct span maintenance;    /* printable ASCII; empty: there is none */
    int32_t login_delay;        /* seconds, or AUTH_UNSET */
    int32_t expire;             /* days that a message is kept, or AUTH_UNSET */
    int64_t domain, tenant;
    int32_t domain_sessions, tenant_sessions;   /* how many at once, or AUTH_UNSET */
};

/*
 * What a cached login was verified against: it holds if these two numbers are
 * what they were (sql/README). Only who opens the maildrop sees whether they are.
 */
struct auth_versions {
    int64_t proof;              /* mailbox.proof; 0: its logins are not cached that way */
    int64_t policy;             /* policy_version: of all that is common to several */
};

/* From where somebody asks. All zero: nobody counts what he does. */
struct auth_origin {
    struct span network;        /* "192.0.2.1", "2001:db8::/64": as postern.known_address has it. Empty: his failures are not counted */
    bool suspect;               /* too many failures: only what logged in from this network before is let in */
    uint64_t line;              /* stands for where he comes from, for the queue (auth/queue.h); 0: his name does */
    bool failed;                /* he failed before */
    bool good;                  /* this name logged in from there before, as far as the asker knows */
};

struct auth_result {
    enum auth_verdict verdict;
    int64_t mailbox;        /* AUTH_OK, AUTH_OK_UNCONFIRMED: which */
    /* Valid in the callback: */
    struct span address;    /* of these two its address, as stored; else the name as it was understood, or empty */
    struct span challenge;  /* AUTH_CHALLENGE: the octets, not in base64 */
    struct auth_policy policy;      /* AUTH_OK, AUTH_OK_UNCONFIRMED */
    struct auth_versions versions;  /* AUTH_OK_UNCONFIRMED, which is told of passwords only */
    uint32_t guesses;       /* failures of this name on all hosts, before this one */
};

/* What an exchange begins with. Empty spans for what is not there; all is copied. */
struct auth_opening {
    enum mechanism mechanism;
    bool has_initial;           /* the client sent a first message already, though it may be empty */
    struct span initial;        /* AUTH_MESSAGE_MAX; for APOP the name, a space and the digest */
    struct span default_domain;
    struct span session;        /* its id, for the log: hex digits, at most 16 */
    struct span exporter, unique;   /* TLS channel bindings (RFC 9266, RFC 5929) where a mechanism that uses them was offered */
    struct span identity;       /* EXTERNAL: the address that the client's certificate proves */
    struct span timestamp;      /* APOP: of the greeting */
    struct auth_origin origin;
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
 * digits, at most 16). origin may be NULL. done comes later, never from within, unless
 * auth_forget() was called. Copies of the password are wiped. Returns the id
 * of the request, never 0.
 */
uint64_t auth_check_password(struct auth_client *client, struct span name, struct span password,
                             struct span default_domain, const struct auth_origin *origin, const char *session,
                             auth_done *done, void *owner);
/*
 * AUTH_OK_UNCONFIRMED is not the last word: the id holds, and the request is
 * kept with its password until the asker says either that the login is
 * confirmed, by auth_forget(), or that it is not, by this. Then done comes once
 * more, and what is stored is looked at.
 */
void auth_check_uncached(struct auth_client *client, uint64_t id);
/*
 * A SASL exchange, or APOP. done comes later, never from within; after
 * AUTH_CHALLENGE it comes once more for each auth_respond(). Returns the id,
 * which holds until a verdict was told.
 */
uint64_t auth_start(struct auth_client *client, const struct auth_opening *opening, auth_done *done, void *owner);
/* The client's answer, of AUTH_MESSAGE_MAX octets at most, to the challenge that was told for this id. */
void auth_respond(struct auth_client *client, uint64_t id, struct span response);
/* The asker has gone, or the client gave an exchange up: its answer is thrown away. An id that is over is allowed. */
void auth_forget(struct auth_client *client, uint64_t id);
/* Requests that wait for a helper to take them. */
size_t auth_client_waiting(const struct auth_client *client);
/*
 * Helpers that have had something to do for three times the deadline and have
 * answered nothing: whatever they wait for ends before. They hang.
 */
size_t auth_client_silent(const struct auth_client *client);
/* How many helpers are there, of how many. */
size_t auth_client_alive(const struct auth_client *client);

#endif
