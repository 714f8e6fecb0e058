/*
 * job.h - a question or a message on its way through the lanes of deliveries:
 * its life and the queue for a lane. What it asks there is its own matter: for
 * deliver.c and send.c, and nobody else.
 */
#ifndef POSTERN_STORAGE_JOB_H
#define POSTERN_STORAGE_JOB_H

#include "daemon/base/buf.h"
#include "storage/content/content.h"
#include "storage/deliver/outcome.h"
#include "storage/deliver/statements.h"
#include "storage/pg/pg.h"

struct loop;
struct spool;
struct timer;

struct deliver {
    struct loop *loop;
    struct pg *pg;
    void (*wrong_schema)(void *arg, const char *text);
    void *arg;
    bool freeing;
    struct deliver_job *first, *last;   /* those that wait for a lane, oldest first */
    struct timer *tick;                 /* while there are any */
    bool ticking;
    struct deliver_job *reading;        /* those that wait for their spool */
};

struct deliver_job {
    struct deliver *deliver;
    struct deliver_job *next;
    /*
     * Asks its first question: the job is bound to a lane; a large one, and one that is apart, has it
     * alone. False: there is nothing to ask, as the message cannot be read back.
     */
    bool (*ask)(struct deliver_job *job);
    bool large;                         /* a transaction of several questions */
    bool grouped;                       /* a message that may be stored together with others' */
    bool apart;                         /* one that may have to wait for others' transactions */
    bool resolving;
    union {
        resolve_done *resolve;
        deliver_done *deliver;
    } done;                             /* NULL: forgotten */
    void *owner;
    uint64_t started;
    unsigned tries;
    struct pg_ref ref;

    /* The arguments. */
    struct buf addresses, bases, mailboxes, recipients, keys;
    bool with_keys;
    char *postmaster;
    uint64_t octets, window;
    bool all;
    int32_t codec;                      /* for new mail (storage/content/codec.h) */
    char *session;
    size_t count;                       /* recipients, or questions */

    /* A message. */
    struct spool *spool;
    bool reading;                       /* in the list of those */
    struct deliver_job *prev_reading, *next_reading;
    unsigned char digest[CONTENT_DIGEST];
    struct delivered *delivered;
    struct delivery_lost *lost;
    size_t lost_count;

    bool alone;                         /* its lane is given to nobody else */

    /* A large one. */
    bool deciding;                      /* all parts are stored, deliver() was asked */
    bool ending;                        /* COMMIT or ROLLBACK was asked */
    bool nothing;                       /* no recipient is left: it is a ROLLBACK without a fault */
    size_t in_flight;
    uint64_t sent;                      /* octets */
    int64_t content;
    enum db_status status;
    bool disk_full, conflict;
};

/* Made of nothing; deliver_job_start() begins it. */
struct deliver_job *deliver_job_new(struct deliver *deliver, void *owner, size_t count);
/* On a lane, or into the queue for one. */
void deliver_job_start(struct deliver_job *job);
/* With job->status and, for a message, job->delivered as they are to be told. The job is freed. */
void deliver_job_over(struct deliver_job *job, const struct resolved *rows, size_t count);
/* From the loop: a job that cannot even be asked is over with this status. */
void deliver_job_cannot(struct deliver_job *job, enum db_status status);
/* Forgets what deliver() said was lost. */
void deliver_forget_lost(struct deliver_job *job);
/* What a question ended with, remembered until the job is over. The first fault counts. */
void deliver_fault(struct deliver_job *job, enum db_status status);
/* To be asked again where nobody else waits for its answer. */
void deliver_apart(struct deliver_job *job);
/* Starts from the beginning, if the fault was that this transaction and another got in each other's way: true. */
bool deliver_again(struct deliver_job *job);
/* Notes that it waits for its spool, or does so no more; what is so already is no matter. */
void deliver_reads(struct deliver_job *job, bool reading);

/* Lanes may be free: those that wait get them. */
void deliver_run_queue(struct deliver *deliver);
/* Timer, while jobs wait: those that have waited for too long are over. */
void deliver_tick(void *deliver);

#endif
