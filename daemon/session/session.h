/*
 * session.h - what every session is, whatever it speaks, and the service: all
 * sessions of one protocol in this process.
 *
 * struct session is the first member of the session of each protocol, struct
 * service that of its service, so that a pointer to one is a pointer to both.
 */
#ifndef POSTERN_SESSION_SESSION_H
#define POSTERN_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/log.h"
#include "daemon/base/span.h"
#include "daemon/session/line.h"
#include "daemon/session/protocol.h"

struct command;
struct conn;
struct passer;

/* Why a session ended; in the log line of its end. */
enum session_end {
    END_QUIT,
    END_EOF,
    END_TIMEOUT,
    END_LOST,
    END_DRAIN,
    END_BAD_COMMANDS,
    END_ERRORS,
    END_EARLY_TLS,
    END_REFUSED,
    END_KICKED,
    END_TAKEN,
    END_OLD_SERVER,     /* the one that it was relayed to has gone */
    END_ERROR
};

enum { SESSION_ID_SIZE = 17 };

struct session {
    struct service *service;
    struct session *next, *prev;
    struct passer *passer;          /* or NULL */
    bool closing;                   /* it alone was asked to `close` */
    struct conn *conn;              /* NULL once the client has gone while what it asked for is being done */
    char id[SESSION_ID_SIZE];
    bool traced;                    /* by the policy of its mailbox */
    enum session_end end;
    struct line_reader line;
    struct span address;            /* of the mailbox, once somebody has logged in to it; lent by the protocol */
    uint64_t started;               /* loop_now() */
    uint64_t octets_in, octets_out; /* as session_note_octets() saw them last */
    uint64_t replied_until;         /* octets of output up to the end of the last reply's first line */
};

struct service {
    const struct protocol *protocol;
    struct service_host host;
    struct session *sessions;       /* alive */
    size_t count;                   /* these, and those whose descriptors are not closed yet */
    bool draining;                  /* service_drain() was called */
    bool closing;                   /* service_close_all() was called */
    bool freed;                     /* service_free() was called: the last one out ends the service */
    uint64_t next_id;
};

/* ---------------------------------------------- for those that serve: process */

size_t service_sessions(const struct service *service);
/* No more sessions will be started, but for those whose proxy has not spoken yet. Sessions are asked to `drain`. */
void service_drain(struct service *service);
/* Every session is asked to `close`. */
void service_close_all(struct service *service);
/*
 * Ends the sessions that this names, without a word to the client: by the id
 * of one, or by the address of an open maildrop. told() is called before each.
 */
void service_kick(struct service *service, struct span subject,
                  void (*told)(void *arg, const char *id, struct span address), void *arg);
/* Every session is abandoned. The pointer may be NULL. */
void service_free(struct service **service);

/* -------------------------------------------------------- for the protocols */

/* *service is all zero but for what the protocol added. */
void service_init(struct service *service, const struct protocol *protocol, const struct service_host *host);

/* *s is all zero but for what the protocol added: gives it an id, and a place among the sessions. */
void session_join(struct session *s, struct service *service, const struct session_entry *entry);
/*
 * The session is over, and its protocol has freed all that was its own but the
 * session itself. last_word_ms: so long the client has to take what is written;
 * 0: nothing more is written.
 */
void session_leave(struct session *s, uint64_t last_word_ms);

/* Of the connection, where there still is one. */
void session_note_octets(struct session *s);
/* conn_peer() and conn_local(), "gone" without a connection. */
const char *session_peer(const struct session *s);
const char *session_local(const struct session *s);
/* The line of its end: what the protocol has to tell, then the octets both ways, the time that it took, and why. */
void session_log_end(const struct session *s, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * trace.c: the dialogue in the log, for a time and for somebody. Masked are the
 * arguments of commands that are `secret`, answers to a challenge, and every
 * line that is not a command where clients log in, as it may be a password in the
 * wrong place.
 */
bool session_is_traced(const struct session *s);
void session_trace_start(const struct session *s);
/* A line came in: of this command, NULL where it is none. */
void session_trace_command(const struct session *s, const struct command *command, struct span line);
/* A line came in that is not a command but the client's answer to a challenge. */
void session_trace_answer(const struct session *s);
/* A message came in. */
void session_trace_message(const struct session *s, uint64_t octets);
/* A line of a reply, with or without its end, before it is written. */
void session_trace_reply(const struct session *s, struct span line);
/* What was written behind the first line of a reply, which ended at s->replied_until. */
void session_trace_rest(const struct session *s);

#endif
