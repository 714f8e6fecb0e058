/*
 * login.h - a login, as worker and helper both know it: what is asked, by
 * which mechanism and from where, what is answered, and what holds then for
 * the mailbox. Types only.
 */
#ifndef POSTERN_AUTH_LOGIN_H
#define POSTERN_AUTH_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/mechanism.h"
#include "daemon/base/span.h"

enum auth_verdict {
    AUTH_OK,            /* this mailbox */
    AUTH_OK_UNCONFIRMED,    /* the same from the cache: told to nobody before it is confirmed, see client.h */
    AUTH_REFUSED,       /* unknown, disabled or wrong: nobody is told which */
    AUTH_UNAVAILABLE,   /* cannot tell now: database or helper gone, time ran out, queue full */
    AUTH_BROKEN,        /* an operator has to act, and it concerns everybody: a wrong schema, a missing right */
    AUTH_ELSEWHERE,     /* the mailbox is still at an old server, which is to be asked: auth_result.elsewhere */
    AUTH_CHALLENGE,     /* of an exchange: send it to the client, then auth_respond() or auth_forget() */
};

enum {
    AUTH_MESSAGE_MAX = 9216,    /* octets of a client's message in an exchange: 12,288 in base64 (RFC 5034 section 4) */
    AUTH_CHALLENGE_MAX = 4096,
    PASSWORD_MAX = 4096,        /* octets; a longer one is nobody's */
};

/* What holds for the mailbox, as the operator has set it: tables postern.policy and guess (sql/README). */
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

/* Where a client comes from. All zero: its logins are not counted. */
struct auth_origin {
    /* "192.0.2.1", "2001:db8::/64": as postern.known_address has it. Empty: failures are not counted */
    struct span network;
    bool suspect;               /* too many failures: only what logged in from this network before is let in */
    /* represents the origin in the queue (auth/client/queue.h); 0: the name does */
    uint64_t line;
    bool failed;                /* failed before */
    bool good;                  /* this name logged in from there before, as far as the asker knows */
};

/* What an exchange begins with. Empty spans for what is not there; all is copied. */
struct auth_opening {
    enum mechanism mechanism;
    bool uncached;              /* no cached login is good enough: look at what is stored now */
    bool has_initial;           /* the client sent a first message already, though it may be empty */
    struct span initial;        /* AUTH_MESSAGE_MAX; for APOP the name, a space and the digest */
    struct span default_domain;
    struct span session;        /* its id, for the log: hex digits, at most 16 */
    /* TLS channel bindings (RFC 9266, RFC 5929) where a mechanism that uses them was offered */
    struct span exporter, unique;
    struct span identity;       /* EXTERNAL: the address that the client's certificate proves */
    struct span timestamp;      /* APOP: of the greeting */
    uint32_t lane;              /* process of the connection that is to open the maildrop: for its ticket */
    struct auth_origin origin;
};

#endif
