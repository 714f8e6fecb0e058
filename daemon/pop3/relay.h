/*
 * relay.h - a login that an old server is asked for, and then the session that it serves: one connection to
 * it, which speaks for one client.
 *
 * First a dialogue up to the old server's answer (relay_talk.h). Where it is yes, relay_join() makes it a pipe:
 * octets go both ways as they are, with the bounds and the back-pressure of conn.h on both sides.
 * Knows no session; what becomes of the client its owner decides.
 */
#ifndef POSTERN_POP3_RELAY_H
#define POSTERN_POP3_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/elsewhere.h"
#include "daemon/pop3/relay_talk.h"

struct conn;
struct loop;
struct relay;
struct tls_out;

/* The old server's answer to the login. */
enum relay_answer {
    RELAY_YES,
    RELAY_NO,               /* it refuses: relay_refusal() says why */
    RELAY_AWAY,             /* it cannot be asked: relay_why() says what is wrong */
    RELAY_UNSAYABLE,        /* this password cannot be said there: it has a line end, say */
};

/* Why a pipe ended. */
enum relay_end {
    RELAY_CLIENT_EOF,       /* the client sends no more, and had not said QUIT */
    RELAY_QUIT,             /* it had, and the old server has closed */
    RELAY_CLIENT_LOST,
    RELAY_CLIENT_TIMEOUT,
    RELAY_SERVER_LOST,      /* the old server closed, or its connection was lost, before QUIT */
};

/* None of them from within a call of the owner's. Each may free the relay. */
struct relay_calls {
    /* Once. Of RELAY_YES the relay then waits for relay_join(). */
    void (*answered)(void *owner, enum relay_answer answer);
    /* Once, after relay_join(). */
    void (*ended)(void *owner, enum relay_end end);
};

/* What a relay is begun with; all is copied but `tls`, which outlives it. */
struct relay_plan {
    struct elsewhere to;
    const char *addresses;          /* of it, with commas in between */
    const char *peer, *local;       /* of the client, as conn_peer() and conn_local() have them */
    struct tls_out *tls;
    uint64_t ms;                    /* up to the answer */
};

/*
 * password(owner, ...) is asked when it is to be said; what it lends is copied, and the copy wiped when it was
 * written. False: there is none any more.
 */
struct relay *relay_new(struct loop *loop, const struct relay_plan *plan,
                        bool (*password)(void *owner, struct span *password_r), const struct relay_calls *calls,
                        void *owner);
/* Closes the connection, without QUIT: an old server deletes nothing then. */
void relay_free(struct relay **relay);
enum relay_refusal relay_refusal(const struct relay *relay);
/* RELAY_AWAY: the old server had been told which mailbox it is. What is wrong may be wrong with that one only. */
bool relay_was_named(const struct relay *relay);
/* For the log; lent until relay_free(). */
const char *relay_why(const struct relay *relay);
/* "old.example:995", for the log; lent. */
const char *relay_name(const struct relay *relay);

/*
 * The client's connection, whose callbacks are the relay's from now on, is one with the old server's.
 * What the client has sent already goes first. The owner keeps the connection, and frees it behind the
 * relay.
 */
void relay_join(struct relay *relay, struct conn *client);
/* traced(owner, to_server, octets): so many went by. NULL: nobody wants to know. */
void relay_trace(struct relay *relay, void (*traced)(void *owner, bool to_server, size_t octets));

#endif
