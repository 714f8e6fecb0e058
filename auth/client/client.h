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

#include "auth/elsewhere.h"
#include "auth/login.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

struct loop;
struct auth_client;

struct auth_result {
    enum auth_verdict verdict;
    struct mailbox_ref mailbox;     /* AUTH_OK, AUTH_OK_UNCONFIRMED: which */
    /* Valid in the callback: */
    struct span address;    /* of these two its address, as stored; else the name as it was understood, or empty */
    struct span challenge;  /* AUTH_CHALLENGE: the octets, not in base64 */
    struct auth_policy policy;      /* AUTH_OK, AUTH_OK_UNCONFIRMED, AUTH_ELSEWHERE */
    struct elsewhere elsewhere;     /* AUTH_ELSEWHERE; the mailbox is one or none, the address is there */
    /* AUTH_OK_UNCONFIRMED, which is told of passwords, by PASS, LOGIN or PLAIN, only */
    struct mailbox_versions versions;
    struct mailbox_ticket ticket;   /* AUTH_OK, AUTH_OK_UNCONFIRMED: for the lane that was told */
    uint32_t guesses;       /* failures of this name on all hosts, before this one */
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
 *
 * Nobody is asked before auth_lane() has said which connection is to open the
 * maildrop; so for auth_start() and auth_check_uncached(), too.
 */
uint64_t auth_check_password(struct auth_client *client, struct span name, struct span password,
                             struct span default_domain, const struct auth_origin *origin, const char *session,
                             auth_done *done, void *owner);
/*
 * pid: of the connection's process, 0 where there is none: then a ticket that comes
 * of it opens nothing. An id that is over, or was told its lane, is allowed.
 */
void auth_lane(struct auth_client *client, uint64_t id, uint32_t pid);
/*
 * AUTH_OK_UNCONFIRMED is not the last word: the id holds, and the request is
 * kept with its password until the asker says either that the login is
 * confirmed, by auth_forget(), or that it is not, by this. Then done comes once
 * more, and what is stored is looked at.
 */
void auth_check_uncached(struct auth_client *client, uint64_t id);
/*
 * Of an id for which AUTH_ELSEWHERE was told, which holds until auth_report() or
 * auth_forget(): what the client wants its password to be there. False: it has sent
 * none, as its mechanism sends none. Lent until then.
 */
bool auth_password(const struct auth_client *client, uint64_t id, struct span *password_r);
/*
 * What the old server said of it, for the helpers: a wrong one counts as a failure of the name
 * that was asked with, as each of ours does; a right one may be stored for this address. Nobody
 * is told anything. The id is over.
 */
void auth_report(struct auth_client *client, uint64_t id, bool right, struct span address);
/*
 * A SASL exchange, or APOP. done comes later, never from within; after
 * AUTH_CHALLENGE it comes once more for each auth_respond(). Returns the id,
 * which holds until a verdict was told, and after AUTH_OK_UNCONFIRMED as above.
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
