/*
 * deliver.c - jobs on the lanes of deliveries: their life, the queue for a
 * lane, and the question who a recipient is.
 *
 * A lane is given to a job for one question, or alone for a transaction of
 * several: another question would become part of that transaction. Must never
 * call an asker from within its own call.
 */
#include "storage/deliver/deliver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/deliver/deliver_impl.h"
#include "storage/pg/pg_array.h"

enum {
    TRIES = 3,                  /* where two transactions got in each other's way */
    /* in the queue for a lane: less than the 10 minutes that a mail server waits (RFC 5321 4.5.3.2.6) */
    PATIENCE_MS = 240000,
    QUEUE_TICK_MS = 1000,
};

static void run_queue(struct deliver *d);
static bool start(struct deliver_job *job);

/* ------------------------------------------------- arrays, as libpq takes them */

static void put32(struct buf *out, uint32_t value)
{
    value = htonl(value);
    buf_add(out, &value, sizeof value);
}

/* One dimension, counted from 1; may hold nulls. */
static void array_head(struct buf *out, uint32_t type, size_t count)
{
    put32(out, count > 0 ? 1 : 0);
    put32(out, 1);
    put32(out, type);
    if (count == 0)
        return;
    put32(out, (uint32_t)count);
    put32(out, 1);
}

static void array_add(struct buf *out, const void *data, size_t len)
{
    put32(out, (uint32_t)len);
    buf_add(out, data, len);
}

static void array_add_null(struct buf *out)
{
    put32(out, UINT32_MAX);
}

/* -------------------------------------------------------------- life of a job */

static struct deliver_job *job_new(struct deliver *d, void *owner, size_t count)
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
    buf_free(&job->counts);
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
        run_queue(d);
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

/* From the loop: the job could not even be asked. */
static void cannot(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;

    PQclear(res);
    job->status = status;
    deliver_job_over(job, NULL, 0);
}

/* As many as there are lanes for; a large one that has to wait keeps nobody behind it waiting. */
static void run_queue(struct deliver *d)
{
    struct deliver_job *waiting = d->first;
    bool large_wait = false;

    d->first = d->last = NULL;
    while (waiting != NULL) {
        struct deliver_job *job = waiting;
        waiting = job->next;
        if ((job->large && large_wait) || !start(job)) {
            large_wait = large_wait || job->large;
            enqueue(job);
        }
    }
}

static void tick(void *arg)
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
            pg_later(d->pg, DB_RETRY, cannot, job);
        } else {
            enqueue(job);
        }
    }
    run_queue(d);
}

bool deliver_again(struct deliver_job *job)
{
    if (!job->conflict || ++job->tries >= TRIES || job->deliver->freeing)
        return false;
    let_lane_go(job);
    job->status = DB_OK;
    job->conflict = job->deciding = job->ending = false;
    job->sent = 0;
    if (!start(job))
        enqueue(job);
    return true;
}

/* ------------------------------------------------------------------- resolve */

static void resolve_answered(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;
    struct resolved *rows = NULL;
    size_t count = 0;

    /* A provider's resolve() may write: accounts of another program that are made, or changed. */
    if (status != DB_OK) {
        deliver_fault(job, status);
        if (deliver_again(job)) {
            PQclear(res);
            return;
        }
    }
    if (status == DB_OK) {
        rows = mem_array((size_t)PQntuples(res), sizeof rows[0]);
        size_t last = 0;
        for (int i = 0; i < PQntuples(res); i++) {
            int32_t n, verdict;
            struct resolved *row = &rows[count++];
            bool fine = pg_get_int4(res, i, 0, &n) && pg_get_int4(res, i, 1, &verdict) &&
                        n >= 1 && (size_t)n <= job->count && ((size_t)n == last || (size_t)n == last + 1) &&
                        verdict >= RECIPIENT_OK && verdict <= RECIPIENT_NEVER_FITS &&
                        (PQgetisnull(res, i, 2) ? verdict != RECIPIENT_OK : pg_get_mailbox(res, i, 2, &row->mailbox));
            if (!fine) {
                status = DB_BUG;
                break;
            }
            last = (size_t)n;
            row->recipient = last - 1;
            row->verdict = (enum recipient_verdict)verdict;
        }
        if (status == DB_OK && last != job->count)
            status = DB_BUG;
        if (status == DB_BUG)
            log_error(NULL, "database statement=RESOLVE result=bug: the rows are not one for each recipient, in order");
    }
    PQclear(res);
    job->status = status;
    deliver_job_over(job, status == DB_OK ? rows : NULL, status == DB_OK ? count : 0);
    mem_free(rows);
}

static void ask_resolve(struct deliver_job *job)
{
    struct pg_args args = PG_ARGS_EMPTY;

    pg_arg_bytes(&args, buf_span(&job->addresses));
    pg_arg_bytes(&args, buf_span(&job->bases));
    pg_arg_int8(&args, (int64_t)job->octets);
    if (job->postmaster != NULL)
        pg_arg_bytes(&args, span_str(job->postmaster));
    else
        pg_arg_null(&args);
    pg_ask(job->deliver->pg, job->ref, PG_RESOLVE, &args, resolve_answered, job);
}

/* --------------------------------------------------------------------- start */

/* False: there is no lane for it now. */
static bool start(struct deliver_job *job)
{
    struct pg *pg = job->deliver->pg;

    switch (pg_bind(pg, &job->ref)) {
    case PG_BOUND:
        break;
    case PG_WAIT:
        return false;
    case PG_AWAY:
        pg_later(pg, DB_RETRY, cannot, job);
        return true;
    case PG_WRONG:
        pg_later(pg, DB_BUG, cannot, job);
        return true;
    }
    if (job->large) {
        job->alone = pg_keep_alone(pg, job->ref);
        if (!job->alone) {
            let_lane_go(job);
            return false;
        }
        deliver_start_large(job);
    } else if (job->resolving) {
        ask_resolve(job);
    } else if (!deliver_ask_small(job)) {
        let_lane_go(job);
        pg_later(pg, DB_RETRY, cannot, job);
    }
    return true;
}

struct deliver_job *deliver_resolve(struct deliver *d, const struct resolve_question *questions, size_t count,
                                    uint64_t octets, const char *postmaster, resolve_done *done, void *owner)
{
    struct deliver_job *job = job_new(d, owner, count);

    job->resolving = true;
    job->done.resolve = done;
    job->octets = octets;
    job->postmaster = postmaster != NULL ? mem_str(postmaster) : NULL;
    array_head(&job->addresses, PG_TEXT, count);
    array_head(&job->bases, PG_TEXT, count);
    for (size_t i = 0; i < count; i++) {
        array_add(&job->addresses, questions[i].address, strlen(questions[i].address));
        if (questions[i].base != NULL)
            array_add(&job->bases, questions[i].base, strlen(questions[i].base));
        else
            array_add_null(&job->bases);
    }
    if (!start(job))
        enqueue(job);
    return job;
}

struct deliver_job *deliver_message(struct deliver *d, struct spool **spool,
                                    const struct delivery_recipient *recipients, size_t count,
                                    const struct delivery_terms *terms, deliver_done *done, void *owner)
{
    struct deliver_job *job = job_new(d, owner, count);
    size_t mailboxes = 0;

    job->done.deliver = done;
    job->spool = *spool;
    *spool = NULL;
    spool_watch(job->spool, deliver_spool_ready, job);
    job->octets = spool_octets(job->spool);
    job->large = job->octets > SPOOL_MEMORY;
    job->window = terms->window;
    job->all = terms->all;
    job->session = terms->session != NULL ? mem_str(terms->session) : NULL;
    spool_digest(job->spool, job->digest);
    job->delivered = mem_array(count, sizeof job->delivered[0]);

    for (size_t i = 0; i < count; i++) {
        mailboxes += recipients[i].count;
        job->with_keys = job->with_keys || recipients[i].has_key;
    }
    pg_array_put_head(&job->mailboxes, (uint32_t)mailboxes);
    pg_array_put_head(&job->counts, (uint32_t)count);
    array_head(&job->addresses, PG_TEXT, count);
    array_head(&job->keys, PG_BYTEA, count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < recipients[i].count; k++)
            pg_array_put_mailbox(&job->mailboxes, &recipients[i].mailboxes[k]);
        pg_array_put_int8(&job->counts, (int64_t)recipients[i].count);
        array_add(&job->addresses, recipients[i].address, strlen(recipients[i].address));
        if (recipients[i].has_key)
            array_add(&job->keys, recipients[i].key, DELIVERY_KEY);
        else
            array_add_null(&job->keys);
    }
    if (!start(job))
        enqueue(job);
    return job;
}

void deliver_forget(struct deliver_job *job)
{
    job->done.resolve = NULL;
    job->done.deliver = NULL;
}

/* --------------------------------------------------------------------- lanes */

static void lane_lost(void *owner)
{
    (void)owner;    /* its questions are answered one by one */
}

static void lanes_changed(void *owner)
{
    struct deliver *d = owner;
    if (!d->freeing)
        run_queue(d);
}

static void wrong_schema(void *owner, const char *text)
{
    struct deliver *d = owner;
    d->wrong_schema(d->arg, text);
}

static const struct pg_events events = {
    .lost = lane_lost, .decided = lanes_changed, .notified = NULL, .wrong_schema = wrong_schema
};

struct deliver *deliver_new(struct loop *loop, const struct storage_settings *settings, const char *conninfo,
                            void (*wrong)(void *arg, const char *text), void *arg)
{
    struct deliver *d = mem_zalloc(sizeof *d);

    d->loop = loop;
    d->wrong_schema = wrong;
    d->arg = arg;
    d->tick = timer_new(loop, tick, d);
    d->pg = pg_new(loop, conninfo, &delivery_statements, (size_t)settings->database_lmtp_lanes,
                   (uint64_t)settings->database_statement_timeout, (uint64_t)settings->database_retry, &events, d);
    return d;
}

/* Its disk was waited for, and nothing was asked of the database, or nothing that is not undone. */
static void stop_reading(struct deliver_job *job)
{
    deliver_reads(job, false);
    if (job->large)
        deliver_stop_large(job);
    else
        pg_later(job->deliver->pg, DB_RETRY, cannot, job);
}

void deliver_free(struct deliver **deliverp)
{
    struct deliver *d = *deliverp;

    *deliverp = NULL;
    if (d == NULL)
        return;
    d->freeing = true;
    while (d->first != NULL) {
        struct deliver_job *job = d->first;
        d->first = job->next;
        pg_later(d->pg, DB_RETRY, cannot, job);
    }
    while (d->reading != NULL)
        stop_reading(d->reading);
    /* Jobs that end by it look at d->pg. */
    struct pg *pg = d->pg;
    pg_free(&pg);
    timer_free(&d->tick);
    mem_free(d);
}

size_t deliver_lanes_up(const struct deliver *d)
{
    return pg_lanes_up(d->pg);
}

unsigned long long deliver_statements(const struct deliver *d)
{
    return pg_statements(d->pg);
}
