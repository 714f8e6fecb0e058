/*
 * deliver.c - the lanes of deliveries, what is asked for there, and the question
 * who a recipient is. A message is sent by send.c; job.c has the life of both.
 */
#include "storage/deliver/deliver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/content/codec.h"
#include "storage/deliver/job.h"
#include "storage/deliver/send.h"
#include "storage/deliver/spool.h"
#include "storage/pg/pg_array.h"

enum { TOGETHER = 32 };     /* jobs that share a lane before another is used */

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
                        ((verdict >= RECIPIENT_OK && verdict <= RECIPIENT_NEVER_FITS) ||
                         verdict == RECIPIENT_ELSEWHERE) &&
                        (PQgetisnull(res, i, 2) ? verdict != RECIPIENT_OK : pg_get_mailbox(res, i, 2, &row->mailbox));
            if (!fine) {
                status = DB_BUG;
                break;
            }
            last = (size_t)n;
            row->recipient = last - 1;
            row->verdict = (enum recipient_verdict)verdict;
            /* Whatever it is that this program does not know: plain can be read by all. */
            if (!pg_get_int4(res, i, 3, &row->codec) || codec_find(row->codec) == NULL)
                row->codec = CODEC_PLAIN;
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

static bool ask_resolve(struct deliver_job *job)
{
    struct pg_args args = PG_ARGS_EMPTY;

    pg_arg_bytes(&args, buf_span(&job->addresses));
    pg_arg_bytes(&args, buf_span(&job->bases));
    pg_arg_int8(&args, (int64_t)job->octets);
    if (job->postmaster != NULL)
        pg_arg_bytes(&args, span_str(job->postmaster));
    else
        pg_arg_null(&args);
    pg_ask_grouped(job->deliver->pg, job->ref, PG_RESOLVE, &args, resolve_answered, job);
    return true;
}

struct deliver_job *deliver_resolve(struct deliver *d, const struct resolve_question *questions, size_t count,
                                    uint64_t octets, const char *postmaster, resolve_done *done, void *owner)
{
    struct deliver_job *job = deliver_job_new(d, owner, count);

    job->ask = ask_resolve;
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
    deliver_job_start(job);
    return job;
}

struct deliver_job *deliver_message(struct deliver *d, struct spool **spool,
                                    const struct delivery_recipient *recipients, size_t count,
                                    const struct delivery_terms *terms, deliver_done *done, void *owner)
{
    struct deliver_job *job = deliver_job_new(d, owner, count);
    size_t mailboxes = 0;

    job->done.deliver = done;
    job->spool = *spool;
    *spool = NULL;
    spool_watch(job->spool, send_spool_ready, job);
    job->octets = spool_octets(job->spool);
    job->large = job->octets > SPOOL_MEMORY;
    job->ask = job->large ? send_large : send_small;
    job->window = terms->window;
    job->all = terms->all;
    job->codec = terms->codec;
    job->session = terms->session != NULL ? mem_str(terms->session) : NULL;
    spool_digest(job->spool, job->digest);
    job->delivered = mem_array(count, sizeof job->delivered[0]);

    job->grouped = true;
    for (size_t i = 0; i < count; i++) {
        mailboxes += recipients[i].count;
        job->with_keys = job->with_keys || recipients[i].has_key;
        job->grouped = job->grouped && recipients[i].count == 1;
    }
    job->grouped = job->grouped && !job->with_keys;
    pg_array_put_head(&job->mailboxes, (uint32_t)mailboxes);
    pg_array_put_head(&job->recipients, (uint32_t)mailboxes);
    array_head(&job->addresses, PG_TEXT, count);
    array_head(&job->keys, PG_BYTEA, count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < recipients[i].count; k++) {
            pg_array_put_mailbox(&job->mailboxes, &recipients[i].mailboxes[k]);
            pg_array_put_int8(&job->recipients, (int64_t)i + 1);
        }
        array_add(&job->addresses, recipients[i].address, strlen(recipients[i].address));
        if (recipients[i].has_key)
            array_add(&job->keys, recipients[i].key, DELIVERY_KEY);
        else
            array_add_null(&job->keys);
    }
    deliver_job_start(job);
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
        deliver_run_queue(d);
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
    d->tick = timer_new(loop, deliver_tick, d);
    d->pg = pg_new(loop, conninfo, &delivery_statements,
                   &(struct pg_wants){ (size_t)settings->database_lmtp_lanes,
                                       (uint64_t)settings->database_statement_timeout,
                                       (uint64_t)settings->database_retry, settings->database_synchronous_commit,
                                       TOGETHER, true },
                   &events, d);
    return d;
}

/* Its disk was waited for, and nothing was asked of the database, or nothing that is not undone. */
static void stop_reading(struct deliver_job *job)
{
    deliver_reads(job, false);
    if (job->large)
        send_stop_large(job);
    else
        deliver_job_cannot(job, DB_RETRY);
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
        deliver_job_cannot(job, DB_RETRY);
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
