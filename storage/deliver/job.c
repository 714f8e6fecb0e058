/*
 * job.c - jobs on the lanes of deliveries: their life, and the queue for a lane.
 *
 * A lane is given to a job for one question, several to one, so that they can be
 * asked together; or alone, for a transaction of several questions, as another one
 * would become part of that transaction. Must never call an asker from within its
 * own call.
 */
#include "storage/deliver/job.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/deliver/spool.h"

enum {
    TRIES = 3,                  /* where two transactions got in each other's way */
    /* in the queue for a lane: less than the 10 minutes that a mail server waits (RFC 5321 4.5.3.2.6) */
    PATIENCE_MS = 240000,
    QUEUE_TICK_MS = 1000,
};

static bool start(struct deliver_job *job);

/* -------------------------------------------------------------- life of a job */

struct deliver_job *deliver_job_new(struct deliver *d, void *owner, size_t count)
{
    struct deliver_job *job = mem_zalloc(sizeof *job);

    job->deliver = d;
    job->owner = owner;
    job->count = count;
    job->started = loop_now(d->loop);
    return job;
}

void deliver_forget_lost(struct deliver_job *job)
{
    for (size_t i = 0; i < job->lost_count; i++)
        mem_free(job->lost[i].address);
    mem_free(job->lost);
    job->lost = NULL;
    job->lost_count = 0;
}

void deliver_reads(struct deliver_job *job, bool reading)
{
    struct deliver *d = job->deliver;

    if (job->reading == reading)
        return;
    job->reading = reading;
    if (reading) {
        job->prev_reading = NULL;
        job->next_reading = d->reading;
        if (d->reading != NULL)
            d->reading->prev_reading = job;
        d->reading = job;
        return;
    }
    if (job->prev_reading != NULL)
        job->prev_reading->next_reading = job->next_reading;
    else
        d->reading = job->next_reading;
    if (job->next_reading != NULL)
        job->next_reading->prev_reading = job->prev_reading;
}

static void job_free(struct deliver_job *job)
{
    deliver_reads(job, false);
    deliver_forget_lost(job);
    mem_free(job->session);
    buf_free(&job->addresses);
    buf_free(&job->bases);
    buf_free(&job->mailboxes);
    buf_free(&job->recipients);
    buf_free(&job->keys);
    spool_free(&job->spool);
    mem_free(job->postmaster);
    mem_free(job->delivered);
    mem_free(job);
}

static void let_lane_go(struct deliver_job *job)
{
    if (job->alone)
        pg_share(job->ref);
    pg_unbind(job->ref);
    job->ref = (struct pg_ref){ NULL, 0 };
    job->alone = false;
}

void deliver_job_over(struct deliver_job *job, const struct resolved *rows, size_t count)
{
    struct deliver *d = job->deliver;

    let_lane_go(job);
    if (job->done.resolve == NULL) {
        /* Nobody is there to be told. */
    } else if (job->resolving) {
        job->done.resolve(job->owner, job->status, rows, count);
    } else {
        job->done.deliver(job->owner, &(struct delivery_result){
            .status = job->status, .disk_full = job->disk_full,
            .recipients = job->status == DB_OK ? job->delivered : NULL, .count = job->count,
            .lost = job->lost, .lost_count = job->status == DB_OK ? job->lost_count : 0,
            .ms = loop_now(d->loop) - job->started,
        });
    }
    job_free(job);
    if (!d->freeing)
        deliver_run_queue(d);
}

void deliver_fault(struct deliver_job *job, enum db_status status)
{
    const char *state = pg_sqlstate(job->deliver->pg);

    if (job->status != DB_OK)
        return;
    job->status = status;
    job->disk_full = strcmp(state, "53100") == 0;
    job->conflict = strcmp(state, "40P01") == 0 || strcmp(state, "40001") == 0;
}

/* --------------------------------------------------------------------- queue */

static void enqueue(struct deliver_job *job)
{
    struct deliver *d = job->deliver;

    job->next = NULL;
    if (d->first == NULL)
        d->first = job;
    else
        d->last->next = job;
    d->last = job;
    if (!d->ticking)
        timer_set(d->tick, QUEUE_TICK_MS);
    d->ticking = true;
}

static void cannot(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;

    PQclear(res);
    job->status = status;
    deliver_job_over(job, NULL, 0);
}

void deliver_job_cannot(struct deliver_job *job, enum db_status status)
{
    pg_later(job->deliver->pg, status, cannot, job);
}

static bool wants_alone(const struct deliver_job *job)
{
    return job->large || job->apart;
}

/* As many as there are lanes for; one that waits for a lane of its own keeps nobody behind it waiting. */
void deliver_run_queue(struct deliver *d)
{
    struct deliver_job *waiting = d->first;
    bool alone_wait = false;

    d->first = d->last = NULL;
    while (waiting != NULL) {
        struct deliver_job *job = waiting;
        waiting = job->next;
        if ((wants_alone(job) && alone_wait) || !start(job)) {
            alone_wait = alone_wait || wants_alone(job);
            enqueue(job);
        }
    }
}

void deliver_tick(void *arg)
{
    struct deliver *d = arg;
    struct deliver_job *waiting = d->first;
    uint64_t now = loop_now(d->loop);

    d->ticking = false;
    d->first = d->last = NULL;
    while (waiting != NULL) {
        struct deliver_job *job = waiting;
        waiting = job->next;
        if (now - job->started > PATIENCE_MS) {
            log_error(NULL, "a delivery has waited %d s for a database connection", PATIENCE_MS / 1000);
            deliver_job_cannot(job, DB_RETRY);
        } else {
            enqueue(job);
        }
    }
    deliver_run_queue(d);
}

void deliver_apart(struct deliver_job *job)
{
    let_lane_go(job);
    job->apart = true;
    deliver_job_start(job);
}

bool deliver_again(struct deliver_job *job)
{
    if (!job->conflict || ++job->tries >= TRIES || job->deliver->freeing)
        return false;
    let_lane_go(job);
    job->status = DB_OK;
    job->conflict = job->deciding = job->ending = false;
    job->sent = 0;
    deliver_job_start(job);
    return true;
}

/* --------------------------------------------------------------------- start */

/*
 * Who asks for recipients writes nothing, mostly: they would wait for the disk with the deliveries of others, and a
 * session could only begin with its next message when those are stored.
 */
static enum pg_bound bind(struct deliver_job *job)
{
    if (job->alone)
        return PG_BOUND;
    return job->resolving ? pg_bind_quick(job->deliver->pg, &job->ref) : pg_bind(job->deliver->pg, &job->ref);
}

/* False: there is no lane for it now. */
static bool start(struct deliver_job *job)
{
    struct pg *pg = job->deliver->pg;

    if (job->alone && !pg_alive(job->ref))
        let_lane_go(job);   /* it was lost, and nothing was asked there */
    switch (bind(job)) {
    case PG_BOUND:
        break;
    case PG_WAIT:
        return false;
    case PG_AWAY:
        deliver_job_cannot(job, DB_RETRY);
        return true;
    case PG_WRONG:
        deliver_job_cannot(job, DB_BUG);
        return true;
    }
    if (wants_alone(job) && !job->alone) {
        job->alone = pg_keep_alone(pg, job->ref);
        if (!job->alone)
            let_lane_go(job);
    }
    /* Until those have their answers who were there before: what they ask must not come behind our BEGIN. */
    if (wants_alone(job) && !pg_is_alone(job->ref))
        return false;
    if (!job->ask(job)) {
        let_lane_go(job);
        deliver_job_cannot(job, DB_RETRY);
    }
    return true;
}

void deliver_job_start(struct deliver_job *job)
{
    if (!start(job))
        enqueue(job);
}
