/*
 * session.h - one POP3 session, for the files of this folder only.
 *
 * A handler reads its arguments, writes exactly one reply (reply.c asserts
 * that) and returns an outcome. Only life.c acts on outcomes: it alone pauses
 * and resumes input, ends sessions and frees them. A handler never touches the
 * session after it returned from pop3_act().
 */
#ifndef POSTERN_POP3_SESSION_H
#define POSTERN_POP3_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/mechanism.h"
#include "daemon/base/span.h"
#include "daemon/pop3/guard.h"
#include "daemon/pop3/pop3.h"
#include "daemon/session/command.h"
#include "daemon/session/session.h"
#include "storage/maildrop/drop.h"

struct pop3_body;
struct pop3_login;
struct relay;
struct relays;
struct timer;

/* POP3_RELAYED: an old server serves it, and what is said is not looked at. */
enum pop3_state { POP3_AUTHORIZATION, POP3_TRANSACTION, POP3_UPDATE, POP3_RELAYED };

/* What was sent, for the log. */
struct tally {
    uint64_t messages, octets;
};

/* What the log has of a session when it ends. */
struct pop3_report {
    enum mechanism mechanism;       /* of the login; MECHANISMS where it was USER and PASS */
    uint64_t auth_us;               /* that helpers took in all */
    unsigned in_use;                /* logins that met another session's lock */
    struct drop_cost cost;          /* of maildrops that are not s->drop any more */
    struct tally retr, top;
    struct tally left;              /* in the maildrop */
    size_t removed;
};

/* Which messages are to be deleted by QUIT. Of cmd_drop.c, which makes the array with the first DELE. */
struct pop3_marks {
    unsigned char *set;             /* an octet for each message, non-zero: deleted; NULL: none is */
    size_t count;                   /* how many are marked, and their octets */
    uint64_t octets;
};

/* A worker holds thousands of these: what only some sessions need is allocated when they do. */
struct pop3_session {
    struct session base;
    const struct command *command;  /* whose reply is not complete; NULL between commands */
    struct timer *timer;            /* before login: its deadline and the delay of a refusal; then: stalled output */
    enum pop3_state state;
    bool replied;                   /* the first line of this command's reply is out */
    bool unheard;                   /* the client reads no more, but what it sent before is still coming */
    bool asked;                     /* an answer of the database is on its way: `drained` is not for us */
    bool more;                      /* octets came behind the line that is looked at */
    bool wants_line;                /* the next line is not a command, but what one has asked for */
    bool may_login;                 /* what is said here nobody else can read, or somebody has allowed it */
    bool got_message;               /* the last command gave one, whole */
    bool replace_nul;               /* by the policy of the mailbox */
    int64_t tenant;                 /* whose the mailbox is, for the log */
    unsigned bad;                   /* commands in a row that were none */
    unsigned stalled;               /* times in a row that the output saw no progress */
    int32_t login_delay, expire;    /* by the policy: seconds and days; AUTH_UNSET: nothing */
    struct guard_seat seat;
    struct pop3_report report;

    struct pop3_login *login;       /* login.h; freed when somebody has logged in */
    struct relay *relay;            /* to the old server that is asked, or serves it (POP3_RELAYED); or NULL */

    /* From the login on. */
    char *address;                  /* base.address */
    struct drop *drop;
    struct pop3_marks marks;
    size_t listed;                  /* LIST, UIDL: the next message */
    struct pop3_body *body;         /* of body.c: made by the first RETR or TOP; nothing hangs on it */
    uint64_t owed_until;            /* octets of output up to the end of the last message that was sent */
};

/* What CAPA says depends on what may be done now (RFC 2449 section 5, RFC 5034 section 3). */
enum { CAPA_USER = 1, CAPA_STLS = 2, CAPA_KINDS = 4 };

struct pop3_service {
    struct service base;
    struct guard *guard;
    struct relays *relays;
    uint64_t turned_second;         /* in which so many lines of clients that were turned away were logged */
    unsigned turned;
    unsigned mechanisms;            /* that are configured */
    char host_name[65];             /* of this host, for APOP's timestamps */
    struct capa {
        char *text;                 /* the reply but for SASL and its end */
        size_t len;
    } capa[CAPA_KINDS];
};

static inline struct pop3_session *pop3_of(struct session *s)
{
    return (struct pop3_session *)s;
}

static inline struct pop3_service *pop3_service_of(const struct pop3_session *s)
{
    return (struct pop3_service *)s->base.service;
}

static inline const struct service_host *pop3_host(const struct pop3_session *s)
{
    return &s->base.service->host;
}

static inline const struct pop3_settings *pop3_settings(const struct pop3_session *s)
{
    return s->base.service->host.settings;
}

/* commands.c: all of them. */
extern const struct command_table pop3_commands;

/* life.c */
void pop3_enter(struct pop3_session *s, enum pop3_state to);
/* It is the client's turn. */
static inline bool pop3_takes_line(const struct pop3_session *s)
{
    return s->command == NULL || s->wants_line;
}
/* Acts on an outcome. False: the session is gone. */
bool pop3_settle(struct pop3_session *s, enum outcome out);
/* The same where a handler was not called by the line loop, and input goes on. */
bool pop3_act(struct pop3_session *s, enum outcome out);
/* The session is over, whatever it does, except a commit: that goes on without its client. */
void pop3_session_over(struct pop3_session *s, enum session_end end);
/* The old server is done with, if there is one: its connection is closed. */
void pop3_relay_over(struct pop3_session *s);
/* These statements were this session's. */
void pop3_charge(struct pop3_session *s, struct drop_cost cost);
/* Sets the timer for what is due next before the login. */
void pop3_set_login_timer(struct pop3_session *s);
/* When the login has to be complete. */
uint64_t pop3_login_by(const struct pop3_session *s);
/* Logged in: from the deadline of the login to the watch on idleness and on stalled output. */
void pop3_set_session_timer(struct pop3_session *s);
/* A client that takes nothing for the write time is closed, though it may go on sending (Y20). */
void pop3_look_at_output(struct pop3_session *s);

/* dialogue.c: for the row of the protocol. */
void pop3_session_start(struct service *service, int in, int out, const struct session_entry *entry);

/* takeover.c. A drop_asked: somebody else wants the maildrop. A session whose client is silent gives it up. */
bool pop3_session_asked(void *owner, const char *by, bool ordered);

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

/* capa.c */
void pop3_capa_make(struct pop3_service *service);
void pop3_capa_free(struct pop3_service *service);
/* Those that can be used in this session now, as it is connected; the same after the login (RFC 5034 section 3). */
unsigned pop3_offered(const struct pop3_session *s);
enum { SASL_LIST_SIZE = 160 };
/* " PLAIN LOGIN": SASL mechanisms only; or the empty string. */
const char *pop3_sasl_list(unsigned offered, char out[SASL_LIST_SIZE]);
/* What goes into the greeting where APOP is offered: login->timestamp. */
void pop3_make_timestamp(struct pop3_session *s);
/* pop3_expire in parts: 1 a number of days, 0 "never", -1 neither; and whether mailboxes differ. */
int pop3_parse_expire(const char *text, uint64_t *days_r, bool *user_r);

/* cmd_drop.c */
/*
 * The message that an argument means, counted from 0; false if there is none
 * that is not deleted: then *out_r is the outcome of the -ERR.
 */
bool pop3_pick(struct pop3_session *s, struct span number, size_t *i_r, enum outcome *out_r);

/* settings.c: what is wrong with more than one option (struct protocol). */
int pop3_settings_check(const void *settings, options_problem *problem, void *arg, const char *file);

#endif
