/*
 * session.h - what the files of LMTP share, and nobody else sees.
 */
#ifndef POSTERN_LMTP_SESSION_H
#define POSTERN_LMTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/lmtp/lmtp.h"
#include "daemon/lmtp/reply.h"
#include "daemon/session/command.h"
#include "daemon/session/session.h"

struct deliver_job;
struct lmtp_pending;
struct lmtp_transaction;
struct spool_space;
struct timer;

struct lmtp_service {
    struct service base;
    char hostname[256];
    struct spool_space *space;
    uint64_t untold_until;      /* till then the next refusal of one whom a proxy did not name is no warning */
    bool over_quota_permanent, disabled_permanent, reject_bare, reject_nul, refuse_list;
};

enum lmtp_state {
    LMTP_WAITING,   /* not greeted: no lane is up yet */
    LMTP_START,     /* greeted */
    LMTP_READY,     /* LHLO was said */
    LMTP_MAIL,      /* a transaction is under way */
    LMTP_DATA,      /* the octets of DATA are coming */
    LMTP_CHUNK,     /* those of a BDAT */
    LMTP_RESOLVING, /* recipients are being looked up; the input rests */
    LMTP_SPOOLING,  /* the message is there, its last octets are on their way to the disk; the input rests */
    LMTP_STORING,   /* the message is being stored; the input rests */
};

/* The BDAT whose octets are coming. */
struct lmtp_chunk {
    uint64_t left;
    bool last;                  /* LAST was said */
    bool unwanted;              /* it belongs to nothing: its octets are thrown away */
};

/* For the log. */
struct lmtp_report {
    uint64_t messages, deliveries;
    uint64_t sql_ms;            /* that storing took */
};

struct lmtp_session {
    struct session base;
    struct timer *timer;        /* while LMTP_WAITING */
    enum lmtp_state state;
    bool ending;                /* end it as soon as the input was looked at */
    /* more than a probe or a health check: a mail server came with a message, or could not be served */
    bool noteworthy;
    bool behind;                /* the input rests until the spool's disk keeps up */
    unsigned bad;               /* errors since the last good MAIL */
    unsigned number;            /* of the transaction, on this connection */
    /* replies to what the client has sent: one for a command, more behind the end of a message */
    size_t owed;
    char *lhlo;
    size_t lhlo_len;
    struct deliver_job *job;    /* while LMTP_RESOLVING or LMTP_STORING */
    struct lmtp_transaction *transaction;   /* transaction.h; from MAIL on, else NULL */
    struct lmtp_pending *pending;           /* of rcpt.c: room for LMTP_BATCH, made with the first RCPT */
    size_t pending_count;
    struct lmtp_chunk chunk;
    struct lmtp_report report;
};

enum {
    LMTP_LINE_LIMIT = 512,      /* octets of a command with its line end (RFC 5321 section 4.5.3.1.4) */
    LMTP_PATH_LIMIT = 1400,     /* MAIL and RCPT: a path and what the extensions may add */
    LMTP_BATCH = 256,           /* recipients looked up in one question */
};

static inline struct lmtp_session *lmtp_of(struct session *s)
{
    return (struct lmtp_session *)s;
}

static inline struct lmtp_service *lmtp_service_of(const struct lmtp_session *s)
{
    return (struct lmtp_service *)s->base.service;
}

static inline const struct service_host *lmtp_host(const struct lmtp_session *s)
{
    return &s->base.service->host;
}

static inline const struct lmtp_settings *lmtp_settings(const struct lmtp_session *s)
{
    return s->base.service->host.settings;
}

/* commands.c: all of them. */
extern const struct command_table lmtp_commands;

/*
 * say.c. Each of the first two is one whole reply, the last lines of one
 * of several lines too. What is said is counted against what is owed: the loop
 * takes no further octet while a reply is missing, or one was said too often.
 */
enum outcome lmtp_say(struct lmtp_session *s, enum lmtp_reply_name name, const char *a, const char *b);
enum outcome lmtp_say_text(struct lmtp_session *s, const char *text);
/* What ends the session without being asked for: the greeting that is none, 421. */
void lmtp_say_unasked(struct lmtp_session *s, enum lmtp_reply_name name);
/* A BDAT that is refused: octets of unknown number follow it, that cannot be told from commands (RFC 3030). */
enum outcome lmtp_bdat_refused(struct lmtp_session *s, enum lmtp_reply_name why);
/* The last word was said: ends the session, from within a command. */
enum outcome lmtp_end(struct lmtp_session *s, enum session_end end);
/* Of what was said: CMD_CLOSE if the session ends, CMD_WAIT while more replies are owed. */
enum outcome lmtp_outcome(const struct lmtp_session *s);

/* life.c */
/* An answer came from the database: the state is `to` again, and the input goes on. */
void lmtp_go_on(struct lmtp_session *s, enum lmtp_state to);
/* A question is at the database, or octets at the disk: the input rests, and no time runs. */
void lmtp_rest(struct lmtp_session *s, enum lmtp_state state);
/* Each command and each message has as many replies as it must have. */
bool lmtp_all_replied(const struct lmtp_session *s);
/* The service is told to stop, and this session is not at a message: 421. The caller ends it. */
void lmtp_stop_between(struct lmtp_session *s);
/* If it is to end, and no message is being stored: ends it. True: the session is gone. */
bool lmtp_end_now(struct lmtp_session *s);
/* From outside of a command. A message that is being stored is waited for, to log what became of it. */
void lmtp_session_over(struct lmtp_session *s, enum session_end end);
/* At once, whatever it does. */
void lmtp_session_free(struct lmtp_session *s);

/* dialogue.c: for the row of the protocol. */
void lmtp_session_start(struct service *service, int in, int out, const struct session_entry *entry);

/* rcpt.c */
/* Answers the RCPTs that are pending, or asks the database about them first. */
void lmtp_answer_pending(struct lmtp_session *s);

/* message.c */
/* Octets of a message; how many were used. */
size_t lmtp_take(struct lmtp_session *s, struct span in);

/* settings.c: what is wrong with more than one option (struct protocol). */
int lmtp_settings_check(const void *settings, options_problem *problem, void *arg, const char *file);

#endif
