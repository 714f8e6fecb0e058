/*
 * session.h - one POP3 session, for the files of this folder only.
 *
 * A handler reads its arguments, writes exactly one reply (reply.c asserts
 * that) and returns an outcome. Only session.c acts on outcomes: it alone
 * pauses and resumes input, ends sessions and frees them. A handler never
 * touches the session after it returned from pop3_act().
 */
#ifndef POSTERN_POP3_SESSION_H
#define POSTERN_POP3_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/mechanism.h"
#include "daemon/base/metrics.h"
#include "daemon/base/span.h"
#include "daemon/pop3/args.h"
#include "daemon/pop3/guard.h"
#include "daemon/pop3/pop3.h"
#include "daemon/pop3/stuff.h"
#include "daemon/session/line.h"
#include "storage/maildrop/drop.h"

struct conn;
struct timer;
struct pop3_session;

enum outcome {
    P3_DONE,        /* the reply is written: the next command may come */
    P3_WAIT,        /* there is more to come, after an answer or when the output has drained */
    P3_ASK,         /* the client's next line belongs to this command: it goes to cmd_sasl.c */
    P3_CLOSE,       /* the reply is written and was the last; session->end says why */
    P3_ABORT,       /* the reply cannot be finished: cut it off */
};

enum pop3_state { POP3_AUTHORIZATION, POP3_TRANSACTION, POP3_UPDATE };

/* Why a session ended; in the log line of its end. */
enum pop3_end {
    END_QUIT,
    END_EOF,
    END_TIMEOUT,
    END_LOST,
    END_DRAIN,
    END_BAD_COMMANDS,
    END_EARLY_TLS,
    END_REFUSED,
    END_KICKED,
    END_TAKEN,
    END_ERROR
};

/* A row of a state's command table. */
struct command {
    char verb[VERB_LEN];        /* upper case, filled up with NULs */
    unsigned char min, max;     /* arguments */
    bool rest;                  /* the one argument is all that follows the first space */
    bool keeps_name;            /* may stand between USER and PASS */
    enum outcome (*run)(struct pop3_session *s, const struct args *args);
    enum outcome (*step)(struct pop3_session *s);   /* goes on when the output has drained */
    enum metric counted;        /* where it is counted; METRIC_COMMAND_OTHER where it has no line of its own */
};

struct command_table {
    const struct command *rows;
    size_t count;
};
extern const struct command_table pop3_auth_commands;   /* cmd_auth.c */
extern const struct command_table pop3_drop_commands;   /* cmd_drop.c */

/* What was sent, for the log. */
struct tally {
    uint64_t messages, octets;
};

/* A worker holds thousands of these: what only some sessions need is allocated when they do. */
struct pop3_session {
    struct pop3_service *service;
    struct pop3_session *next, *prev;
    struct conn *conn;              /* NULL once the client has gone while its QUIT is being committed */
    struct timer *timer;            /* before login: its deadline and the delay of a refusal; then: stalled output */
    const struct command *command;  /* whose reply is not complete; NULL between commands */
    char id[13];
    enum pop3_state state;
    enum pop3_end end;
    bool replied;                   /* the first line of this command's reply is out */
    bool unheard;                   /* the client reads no more, but what it sent before is still coming */
    bool asked;                     /* an answer of the database is on its way: `drained` is not for us */
    struct line_reader line;
    bool got_message;               /* the last command gave one, whole */
    unsigned bad;                   /* commands in a row that were none */
    uint64_t started;
    struct drop_cost cost;          /* of maildrops that are not s->drop any more */
    uint64_t asked_us;              /* when the helper was asked, then when the maildrop was; monotonic */
    uint64_t auth_us;               /* that helpers took in all */
    uint64_t replied_until;         /* octets of output up to the end of the last reply's first line */
    unsigned in_use;                /* logins that met another session's lock */

    /* AUTHORIZATION */
    /* as USER or a mechanism's message has it; after the login the address of the mailbox */
    char *name;
    size_t name_len;
    char *domain;                   /* of the listener; freed at login */
    struct tls_ctx *tls;            /* what STLS may use; NULL where it may not be used, or not again */
    bool may_login;                 /* what is said here nobody else can read, or somebody has allowed it */
    bool more;                      /* octets came behind the line that is looked at */
    bool wants_line;                /* the next line is not a command, but what AUTH asked for */
    enum mechanism mechanism;       /* of it; MECHANISMS at a login with USER and PASS */
    char *timestamp;                /* of the greeting, for APOP; NULL where that is not offered */
    bool refusal_logged;            /* of a login in the clear: once is enough */
    bool told;                      /* the log has the refusal that is to be said next */
    const char *login_verb;         /* of the command that is carried out, if it belongs to a login; else NULL */
    char *refusal;                  /* the last one that the log has not: see refusal.c */
    uint64_t auth_id, open_id;      /* requests that wait for an answer, or (auth_id) to be confirmed, or 0 */
    uint64_t pass_at;               /* when PASS, or the client's last message of an exchange, came */
    uint64_t refuse_at;             /* when the refusal is to be said, or 0 */
    struct mailbox_ref mailbox;
    unsigned refused;
    struct guard_seat seat;

    /* What the policy of the mailbox says. */
    int32_t login_delay, expire;    /* seconds and days; AUTH_UNSET: nothing */
    bool replace_nul, trace;

    /* TRANSACTION */
    struct drop *drop;
    unsigned char *marks;           /* an octet for each message, non-zero: deleted. Made by the first DELE */
    size_t deleted;                 /* how many are marked, and their octets */
    uint64_t deleted_octets;
    uint64_t owed_until;            /* octets of output up to the end of the last message that was sent */
    uint64_t in_seen, out_seen;     /* octets of the connection, when last looked at */
    unsigned stalled;               /* times in a row that it saw no progress */
    size_t at;                      /* LIST, UIDL: the next one; RETR, TOP: which */
    struct stuff stuff;
    uint32_t piece;                 /* RETR, TOP: the next piece */
    struct tally retr, top;

    /* UPDATE, and after it, for the log */
    struct tally left;              /* in the maildrop */
    size_t removed;
};

/* service.c */
/* What CAPA says depends on what may be done now (RFC 2449 section 5, RFC 5034 section 3). */
enum { CAPA_USER = 1, CAPA_STLS = 2, CAPA_KINDS = 4 };

struct pop3_service {
    struct pop3_host host;
    struct guard *guard;
    uint64_t turned_second;         /* in which so many lines of clients that were turned away were logged */
    unsigned turned;
    struct pop3_session *sessions;  /* alive */
    size_t count;                   /* these, and those whose descriptors are not closed yet */
    bool closing;                   /* close_all() was called */
    bool freed;                     /* free() was called: the last one out frees the service */
    uint64_t next_id;
    unsigned mechanisms;            /* that are configured */
    char host_name[65];             /* of this host, for APOP's timestamps */
    struct capa {
        char *text;                 /* the reply but for SASL and its end */
        size_t len;
    } capa[CAPA_KINDS];
};
/* What CAPA says where the mailbox has a policy of its own: a new text, to mem_free(). */
char *pop3_own_capa(const struct pop3_session *s, unsigned kind, size_t *len_r);
void pop3_next_id(struct pop3_service *service, char id_r[13]);
/* One session less; it is out of the list already. */
void pop3_session_gone(struct pop3_service *service);

/* session.c */
/* Acts on what a handler returned, where it was not called by the line loop. False: the session is gone. */
bool pop3_act(struct pop3_session *s, enum outcome out);
/* The session is over, whatever it does, except a commit: that goes on without its client. */
void pop3_session_over(struct pop3_session *s, enum pop3_end end);
/* It is the client's turn. */
static inline bool pop3_takes_line(const struct pop3_session *s)
{
    return s->command == NULL || s->wants_line;
}
/* As the service closes: at once, or after the command that is being answered. */
void pop3_session_drain(struct pop3_session *s);
/* takeover.c. A drop_asked: somebody else wants the maildrop. A session whose client is silent gives it up. */
bool pop3_session_asked(void *owner, const char *by, bool ordered);
/* These statements were this session's. */
void pop3_charge(struct pop3_session *s, struct drop_cost cost);
void pop3_enter(struct pop3_session *s, enum pop3_state to);
/* " tls=TLSv1.3 cipher=...", or nothing: for the log. */
enum { TLS_TEXT_SIZE = 128 };
const char *pop3_tls_text(const struct pop3_session *s, char out[TLS_TEXT_SIZE]);
/* Sets the timer for what is due next before the login. */
void pop3_set_login_timer(struct pop3_session *s);
/* Logged in: from the deadline of the login to the watch on idleness and on stalled output. */
void pop3_set_session_timer(struct pop3_session *s);

/* reply.c */
enum code { RC_NONE, RC_AUTH, RC_IN_USE, RC_LOGIN_DELAY, RC_SYS_TEMP, RC_SYS_PERM };
/* One line. The text is ours: nothing that the client sent is ever repeated (G17). */
enum outcome pop3_ok(struct pop3_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum outcome pop3_err(struct pop3_session *s, enum code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* -ERR for an invalid command; the last one that is tolerated closes. */
enum outcome pop3_bad(struct pop3_session *s, const char *text);
/* The same for a line that no client of POP3 says, like HTTP: before the login it counts three times. */
enum outcome pop3_strange(struct pop3_session *s, const char *text);
/* A whole reply that was made before. */
enum outcome pop3_ready_reply(struct pop3_session *s, const char *text, size_t len);

/* cmd_sasl.c */
/* Those that can be used in this session now, as it is connected; the same after the login (RFC 5034 section 3). */
unsigned pop3_offered(const struct pop3_session *s);
enum { SASL_LIST_SIZE = 160 };
/* " PLAIN LOGIN": SASL mechanisms only; or the empty string. */
const char *pop3_sasl_list(unsigned offered, char out[SASL_LIST_SIZE]);
/* What goes into the greeting, or NULL where APOP is not offered: s->timestamp. */
void pop3_make_timestamp(struct pop3_session *s);
enum outcome pop3_cmd_auth(struct pop3_session *s, const struct args *args);
enum outcome pop3_cmd_apop(struct pop3_session *s, const struct args *args);
/* The line that a handler has asked for by P3_ASK. */
enum outcome pop3_sasl_line(struct pop3_session *s, enum line_kind kind, struct span line);
enum outcome pop3_sasl_challenge(struct pop3_session *s, struct span challenge);
/* " mechanism=PLAIN", or nothing: for the log. */
const char *pop3_mechanism_text(const struct pop3_session *s, char out[SASL_LIST_SIZE]);

/* trace.c */
bool pop3_is_traced(const struct pop3_session *s);
/* A line came in: of this command, NULL where it is none. */
void pop3_trace_command(const struct pop3_session *s, const struct command *cmd, struct span line);
/* A line came in that is not a command but the client's answer to a challenge. */
void pop3_trace_answer(const struct pop3_session *s);
/* The first line of a reply, without its end; and what came behind it, when the reply is complete. */
void pop3_trace_reply(const struct pop3_session *s, struct span line);
void pop3_trace_rest(const struct pop3_session *s);

/* cmd_auth.c */
struct auth_result;
/* An auth_done: the verdict of a helper, or its challenge. */
void pop3_on_verdict(void *owner, const struct auth_result *result);
enum outcome pop3_refuse_cleartext(struct pop3_session *s);
void pop3_log_cleartext(struct pop3_session *s);
/* guard_try(), for whatever mechanism; the name may be empty. */
bool pop3_may_try(struct pop3_session *s, struct span name, char network[NETWORK_TEXT_SIZE],
                  struct auth_origin *origin_r);
void pop3_set_name(struct pop3_session *s, struct span name);
enum outcome pop3_cmd_capa(struct pop3_session *s, const struct args *args);
enum outcome pop3_say_refusal(struct pop3_session *s);      /* after its delay */

/* admit.c */
/*
 * The password was right: may this session be, by the policy of the mailbox, by
 * the delay between logins, by the number of sessions? 1: it may. 0: it may not,
 * *out_r is the outcome of the -ERR. -1: it may not, but nothing was said, as the
 * login is not confirmed.
 */
int pop3_admit(struct pop3_session *s, const struct auth_policy *policy, bool confirmed, enum outcome *out_r);
/* Refused for another reason than its credentials: no delay, the name is forgotten. */
enum outcome pop3_login_failed(struct pop3_session *s, const char *reason, enum code code, const char *text);
void pop3_log_refused(struct pop3_session *s, const char *reason);

/* refusal.c */
/* Before the login: this line is what is answered next; empty if it could not be read. */
void pop3_begin_login_command(struct pop3_session *s, struct span line);
/* An -ERR is said: without its line end. */
void pop3_note_refusal(struct pop3_session *s, struct span reply);
/* The client has logged in, after all. */
void pop3_forget_refusal(struct pop3_session *s);
/* It never did: what it was last refused for, unless the log has it. */
void pop3_tell_refusal(struct pop3_session *s);
/* By the limits on its address. */
void pop3_log_turned_away(struct pop3_session *s, const char *why);

/* cmd_drop.c */
/*
 * The message that an argument means, counted from 0; false if there is none
 * that is not deleted: then *out_r is the outcome of the -ERR.
 */
bool pop3_pick(struct pop3_session *s, struct span number, size_t *i_r, enum outcome *out_r);

/* body.c */
enum outcome pop3_cmd_retr(struct pop3_session *s, const struct args *args);
enum outcome pop3_cmd_top(struct pop3_session *s, const struct args *args);
enum outcome pop3_body_step(struct pop3_session *s);

#endif
