/*
 * session.h - what the files of LMTP share, and nobody else sees.
 */
#ifndef POSTERN_LMTP_SESSION_H
#define POSTERN_LMTP_SESSION_H

#include "daemon/base/buf.h"
#include "daemon/lmtp/address.h"
#include "daemon/lmtp/data.h"
#include "daemon/lmtp/known.h"
#include "daemon/lmtp/lmtp.h"
#include "daemon/lmtp/reply.h"
#include "daemon/session/line.h"
#include "storage/deliver/deliver.h"

struct conn;
struct spool;
struct spool_space;
struct storing;
struct timer;

struct lmtp_service {
    struct lmtp_host host;
    char hostname[256];
    struct spool_space *space;
    struct lmtp_session *sessions;
    size_t count;               /* with those whose last reply is being written */
    bool closing;
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

enum lmtp_end { LMTP_QUIT, LMTP_EOF, LMTP_TIMEOUT, LMTP_LOST, LMTP_DRAIN, LMTP_ERRORS, LMTP_REFUSED };

struct lmtp_recipient {
    char *address;              /* canonical, as it was given */
    size_t first, count;        /* its mailboxes, in session.mailboxes */
};

/* A RCPT that came and was not answered yet: those that came together are looked up together. */
struct lmtp_pending {
    char *address, *base;       /* NULL: nothing to look up */
    enum lmtp_reply_name reply; /* where there is not */
    const char *why;            /* its argument; static */
};

struct lmtp_session {
    struct lmtp_service *service;
    struct lmtp_session *prev, *next;
    struct conn *conn;          /* NULL: the client has gone while its message is being stored */
    struct timer *timer;        /* while LMTP_WAITING */
    char id[17];
    enum lmtp_state state;
    enum lmtp_end end;
    bool ending;                /* end it as soon as the input was looked at */
    /* more than a probe or a health check: a mail server came with a message, or could not be served */
    bool noteworthy;
    unsigned bad;               /* errors since the last good MAIL */
    /* replies to what the client has sent: one for a command, more behind the end of a message */
    size_t owed;
    uint64_t started;
    struct line_reader line;
    char *lhlo;
    size_t lhlo_len;
    struct deliver_job *job;    /* while LMTP_RESOLVING or LMTP_STORING */

    /* The transaction. */
    unsigned number;            /* of this connection */
    char *sender;               /* empty for <> */
    bool utf8;
    uint64_t announced;         /* SIZE= */
    struct lmtp_recipient *recipients;
    size_t recipient_count, recipient_size;
    struct mailbox_ref *mailboxes;
    size_t mailbox_count, mailbox_size;
    struct lmtp_pending *pending;
    size_t pending_count;

    /* Its message. */
    bool chunks;                /* BDAT has begun, perhaps with one that was refused */
    bool chunk_last, chunk_void;/* LAST was said; its octets are thrown away */
    uint64_t chunk_left;
    struct spool *spool;        /* NULL again while LMTP_STORING */
    bool behind;                /* the input rests until the spool's disk keeps up */
    struct known *known;        /* where duplicates are suppressed, else NULL */
    struct storing *storing;    /* message.c */
    struct data_decoder decoder;
    uint64_t octets;            /* without our lines */
    enum lmtp_reply_name refusal;   /* of the whole message; REPLY_COUNT: none */

    uint64_t messages, deliveries;  /* for the log */
    uint64_t sql_ms;                /* that storing took */
};

enum {
    LMTP_LINE_LIMIT = 512,      /* octets of a command with its line end (RFC 5321 section 4.5.3.1.4) */
    LMTP_PATH_LIMIT = 1400,     /* MAIL and RCPT: a path and what the extensions may add */
    LMTP_BATCH = 256,           /* recipients looked up in one question */
    LMTP_MAILBOXES = 50000,     /* behind all recipients of a message */
};

/*
 * session.c. Each of the first two is one whole reply, the last lines of one
 * of several lines too. What is said is counted against what is owed: the loop
 * takes no further octet while a reply is missing, or one was said too often.
 */
void lmtp_say(struct lmtp_session *s, enum lmtp_reply_name name, const char *a, const char *b);
void lmtp_say_text(struct lmtp_session *s, const char *text);
/* What ends the session without being asked for: the greeting that is none, 421. */
void lmtp_say_unasked(struct lmtp_session *s, enum lmtp_reply_name name);
/* The last word was said: ends the session, from within a command. */
void lmtp_end(struct lmtp_session *s, enum lmtp_end end);
/* An answer came from the database: the state is `to` again, and the input goes on. */
void lmtp_go_on(struct lmtp_session *s, enum lmtp_state to);
/* A question is at the database, or octets at the disk: the input rests, and no time runs. */
void lmtp_rest(struct lmtp_session *s, enum lmtp_state state);
/* "1f0c77aa90b1c2d3.2" */
struct lmtp_transaction_id { char s[32]; };
struct lmtp_transaction_id lmtp_transaction_id(const struct lmtp_session *s);

/* Its dialogue goes to the log. */
bool lmtp_is_traced(const struct lmtp_session *s);

/* cmd.c */
void lmtp_command(struct lmtp_session *s, struct span line);
/* A RCPT that lmtp_command() does not answer at once, if a transaction is under way: it becomes a pending one. */
bool lmtp_is_rcpt(struct span line);
/* Does the line, or what came of it, begin as a BDAT does, whatever follows the verb? */
bool lmtp_is_bdat(struct span line);
/* Octets of unknown number follow it, that cannot be told from commands (RFC 3030): the session ends. */
void lmtp_bdat_refused(struct lmtp_session *s, enum lmtp_reply_name why);
void lmtp_reset(struct lmtp_session *s);
/* Answers the RCPTs that are pending, or asks the database about them first. */
void lmtp_answer_pending(struct lmtp_session *s);
/* The reply to a recipient with this verdict, as the configuration wants it. Not for RECIPIENT_OK. */
enum lmtp_reply_name lmtp_verdict_reply(const struct lmtp_service *service, enum recipient_verdict verdict);

/* message.c */
void lmtp_data(struct lmtp_session *s);
void lmtp_bdat(struct lmtp_session *s, uint64_t octets, bool last);
/* How many replies the chunk that is coming gets when it is whole (RFC 2033 section 4.3). */
size_t lmtp_chunk_replies(const struct lmtp_session *s);
/* Octets of a message; how many were used. */
size_t lmtp_take(struct lmtp_session *s, struct span in);

#endif
