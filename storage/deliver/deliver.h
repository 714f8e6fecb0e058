/*
 * deliver.h - who is this recipient, and a message into the maildrops of its
 * recipients: one transaction, with a verdict for each.
 *
 * Lanes of their own, with the role postern_lmtp. Whatever fits into memory is
 * one statement, and those that several sessions ask for at once are one statement
 * and one commit, as far as their recipients are simple (send.c); a larger message
 * has a lane for itself while it is sent, and so has one that others' locks keep
 * waiting. Nobody waits for a
 * client here: a message is whole before it comes.
 */
#ifndef POSTERN_STORAGE_DELIVER_H
#define POSTERN_STORAGE_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"
#include "storage/deliver/outcome.h"
#include "storage/maildrop/store.h"

struct deliver;
struct deliver_job;
struct loop;
struct spool;

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
struct delivery_terms {
    uint64_t window;                    /* milliseconds in which a key counts */
    /* a recipient with several mailboxes, one of which has no room, is refused as a whole */
    bool all;
    int32_t codec;                      /* of its content (storage/content/codec.h) */
    const char *session;                /* what the log knows this delivery by: for the history; or NULL */
};
/* *spool belongs to the job from now on; all else is copied. done comes later, never from within. */
struct deliver_job *deliver_message(struct deliver *deliver, struct spool **spool,
                                    const struct delivery_recipient *recipients, size_t count,
                                    const struct delivery_terms *terms, deliver_done *done, void *owner);

/* The asker has gone: the job goes on, and nobody is told. Only before its done. */
void deliver_forget(struct deliver_job *job);

#endif
