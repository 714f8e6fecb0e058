/*
 * deliver.h - who is this recipient, and a message into the maildrops of its
 * recipients: one transaction, with a verdict for each.
 *
 * Lanes of their own, with the role postern_lmtp. Whatever fits into memory is
 * one statement, so any lane takes it and the commits of several coincide; a
 * larger message has a lane for itself while it is sent. Nobody waits for a
 * client here: a message is whole before it comes.
 */
#ifndef POSTERN_STORAGE_DELIVER_H
#define POSTERN_STORAGE_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"
#include "storage/pg/status.h"
#include "storage/maildrop/store.h"

struct deliver;
struct deliver_job;
struct loop;
struct spool;

/* As the functions of the schema number them. */
enum recipient_verdict {
    RECIPIENT_OK = 0,
    RECIPIENT_NO_USER = 1,
    RECIPIENT_NO_DOMAIN = 2,
    RECIPIENT_DISABLED = 3,
    RECIPIENT_FULL = 4,
    RECIPIENT_NEVER_FITS = 5,   /* larger than the whole quota */
    RECIPIENT_DUPLICATE = 6,    /* it has the message already; a delivery only */
};

/* As store_new(). conninfo is complete. */
struct deliver *deliver_new(struct loop *loop, const struct storage_settings *settings, const char *conninfo,
                            void (*wrong_schema)(void *arg, const char *text), void *arg);
/* Not from within a callback. Jobs that are left end with DB_LOST or DB_RETRY, unless they were forgotten. */
void deliver_free(struct deliver **deliver);
size_t deliver_lanes_up(const struct deliver *deliver);
unsigned long long deliver_statements(const struct deliver *deliver);

/* ---- recipients */

struct resolve_question {
    const char *address;        /* canonical, or "postmaster" */
    const char *base;           /* the same without its tag; NULL where it has none */
};
/*
 * In the order of the questions: one for each mailbox of a recipient, with what
 * keeps mail from this one now (disabled, over quota) or RECIPIENT_OK; or one
 * with the verdict of the recipient, without a mailbox.
 */
struct resolved {
    size_t recipient;           /* from 0 */
    enum recipient_verdict verdict;
    struct mailbox_ref mailbox; /* may be none; never with RECIPIENT_OK */
};
/* rows hold in the call only; there are none unless status is DB_OK. */
typedef void resolve_done(void *owner, enum db_status status, const struct resolved *rows, size_t count);

/*
 * octets: what the sender announced, 0 if nothing. postmaster: the mailbox for
 * mail to a postmaster that a domain does not have, or NULL. Everything is
 * copied. done comes later, never from within; the job is over then.
 */
struct deliver_job *deliver_resolve(struct deliver *deliver, const struct resolve_question *questions, size_t count,
                                    uint64_t octets, const char *postmaster, resolve_done *done, void *owner);

/* ---- a message */

enum { DELIVERY_KEY = 16 };
struct delivery_recipient {
    const char *address;                /* for the Delivered-To line */
    const struct mailbox_ref *mailboxes;
    size_t count;                       /* one or more */
    bool has_key;                       /* what its duplicates are known by */
    unsigned char key[DELIVERY_KEY];
};
struct delivered {
    enum recipient_verdict verdict;
    /* in its first mailbox; 0 where another recipient has named it, or nothing was stored */
    int64_t uid;
};
/*
 * The share of a mailbox that did not get the message, though its recipient has RECIPIENT_OK:
 * others of a list got theirs.
 */
struct delivery_lost {
    size_t recipient;                   /* from 0; ascending, and those of one in the order of its mailboxes */
    struct mailbox_ref mailbox;
    char *address;                      /* NULL where it is gone */
    enum recipient_verdict why;         /* RECIPIENT_NO_USER (it is gone), _DISABLED, _FULL or _NEVER_FITS */
};
struct delivery_result {
    enum db_status status;              /* DB_OK: decided and, where anything was stored, committed */
    bool disk_full;                     /* the reason of DB_RETRY */
    const struct delivered *recipients; /* in their order; NULL unless DB_OK */
    size_t count;
    const struct delivery_lost *lost;   /* of all recipients; none unless DB_OK */
    size_t lost_count;
    uint64_t ms;                        /* that it took */
};
/* The result holds in the call only. DB_LOST: it may or may not be stored. */
typedef void deliver_done(void *owner, const struct delivery_result *result);

struct delivery_terms {
    uint64_t window;                    /* milliseconds in which a key counts */
    /* a recipient with several mailboxes, one of which has no room, is refused as a whole */
    bool all;
    const char *session;                /* what the log knows this delivery by: for the history; or NULL */
};
/* *spool belongs to the job from now on; all else is copied. done comes later, never from within. */
struct deliver_job *deliver_message(struct deliver *deliver, struct spool **spool,
                                    const struct delivery_recipient *recipients, size_t count,
                                    const struct delivery_terms *terms, deliver_done *done, void *owner);

/* The asker has gone: the job goes on, and nobody is told. Only before its done. */
void deliver_forget(struct deliver_job *job);

#endif
