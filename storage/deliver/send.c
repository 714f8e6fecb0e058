/*
 * send.c - a message on its way into the database.
 *
 * One that fits into memory is one question and so one transaction, or one with
 * those of others. A large one is several, from BEGIN to COMMIT. Must never report DB_OK before the commit
 * was answered.
 */
#include "storage/deliver/send.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "storage/content/content.h"
#include "storage/content/run.h"
#include "storage/deliver/job.h"
#include "storage/deliver/spool.h"
#include "storage/pg/pg_array.h"

enum {
    PIECE = 4 * SEGMENT_OCTETS,
    PIECES_IN_FLIGHT = 2,
};

/* ------------------------------------------------------------------- deliver */

/* The verdicts, into the job. False: they are not what was declared. */
static bool take_verdicts(struct deliver_job *job, const PGresult *res, int64_t *stored_r)
{
    struct span verdicts, uids, uid;
    struct pg_array v, u;

    if (PQntuples(res) != 1 || !pg_get_int8(res, 0, 0, stored_r) || !pg_get_bytes(res, 0, 1, &verdicts) ||
        !pg_get_bytes(res, 0, 2, &uids) || !pg_array_start(&v, verdicts, PG_INT8) ||
        !pg_array_start(&u, uids, PG_INT8) || v.count != job->count || u.count != job->count)
        return false;
    for (size_t i = 0; i < job->count; i++) {
        int64_t verdict;
        uint64_t raw = 0;
        int there;
        if (!pg_array_int8(&v, &verdict) || verdict < RECIPIENT_OK || verdict > RECIPIENT_DUPLICATE ||
            (there = pg_array_next(&u, &uid)) < 0 || (there == 1 && uid.len != 8))
            return false;
        job->delivered[i].verdict = (enum recipient_verdict)verdict;
        if (there == 1)
            memcpy(&raw, uid.at, sizeof raw);
        job->delivered[i].uid = (int64_t)be64toh(raw);
    }
    return true;
}

/* One share that was lost. */
static bool take_lost(struct deliver_job *job, struct pg_array *recipients, struct pg_array *mailboxes,
                      struct pg_array *addresses, struct pg_array *whys, struct delivery_lost *lost_r)
{
    struct span address;
    struct mailbox_ref mailbox;
    int64_t recipient, why;
    int there;

    if (!pg_array_int8(recipients, &recipient) || !pg_array_mailbox(mailboxes, &mailbox) ||
        !pg_array_int8(whys, &why) || (there = pg_array_next(addresses, &address)) < 0 ||
        recipient < 1 || (uint64_t)recipient > job->count ||
        why <= RECIPIENT_OK || why > RECIPIENT_NEVER_FITS)
        return false;
    *lost_r = (struct delivery_lost){
        .recipient = (size_t)recipient - 1, .mailbox = mailbox, .why = (enum recipient_verdict)why,
        .address = there == 1 ? mem_strn(address.at, address.len) : NULL,
    };
    return true;
}

/* The shares that were lost, into the job; mostly there are none. False: they are not what was declared. */
static bool take_all_lost(struct deliver_job *job, const PGresult *res)
{
    struct span data[4];
    struct pg_array arrays[4];
    static const uint32_t types[4] = { PG_INT8, PG_INT8, PG_TEXT, PG_INT8 };

    deliver_forget_lost(job);
    if (PQgetisnull(res, 0, 3))
        return true;
    for (int i = 0; i < 4; i++)
        if (!pg_get_bytes(res, 0, 3 + i, &data[i]) || !pg_array_start(&arrays[i], data[i], types[i]) ||
            arrays[i].count != arrays[0].count)
            return false;
    job->lost = mem_array(arrays[0].count, sizeof job->lost[0]);
    for (size_t n = arrays[0].count; job->lost_count < n; job->lost_count++)
        if (!take_lost(job, &arrays[0], &arrays[1], &arrays[2], &arrays[3], &job->lost[job->lost_count]))
            return false;
    return true;
}

static bool decided(struct deliver_job *job, enum db_status status, PGresult *res, int64_t *stored_r)
{
    *stored_r = 0;
    /* Stored on a server that may be lost now, and the message with it: the sender keeps it. */
    if (status == DB_OK && pg_unconfirmed(job->deliver->pg))
        status = DB_LOST;
    else if (status == DB_OK && (!take_verdicts(job, res, stored_r) || !take_all_lost(job, res))) {
        log_error(NULL, "database statement=DELIVER result=bug: the verdicts are not one for each recipient");
        status = DB_BUG;
    }
    PQclear(res);
    if (status != DB_OK)
        deliver_fault(job, status);
    return status == DB_OK;
}

/* data: all of it, or at NULL where its content is stored already. */
static void ask_deliver(struct deliver_job *job, struct span data, pg_answer *answer)
{
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf room = BUF_EMPTY;

    pg_arg_int8(&args, (int64_t)job->octets);
    pg_arg_bytes(&args, (struct span){ (const char *)job->digest, sizeof job->digest });
    if (data.at != NULL) {
        pg_arg_bytes(&args, run_of(data, job->codec, &room));
        pg_arg_null(&args);
    } else {
        pg_arg_null(&args);
        pg_arg_int8(&args, job->content);
    }
    pg_arg_bytes(&args, buf_span(&job->mailboxes));
    pg_arg_bytes(&args, buf_span(&job->recipients));
    pg_arg_bytes(&args, buf_span(&job->addresses));
    if (job->with_keys)
        pg_arg_bytes(&args, buf_span(&job->keys));
    else
        pg_arg_null(&args);
    pg_arg_int8(&args, (int64_t)job->window);
    pg_arg_bool(&args, job->all);
    if (job->session != NULL)
        pg_arg_bytes(&args, span_str(job->session));
    else
        pg_arg_null(&args);
    if (job->grouped && data.at != NULL && !job->apart)
        pg_ask_grouped(job->deliver->pg, job->ref, PG_DELIVER, &args, answer, job);
    else
        pg_ask(job->deliver->pg, job->ref, PG_DELIVER, &args, answer, job);
    buf_free(&room);
}

static void small_answered(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;
    int64_t stored;

    /* Of a group: somebody has held a mailbox of its for long. */
    if (status == DB_OK && !job->apart && PQntuples(res) == 1 && PQgetisnull(res, 0, 0) && !job->deliver->freeing) {
        PQclear(res);
        deliver_apart(job);
        return;
    }
    if (!decided(job, status, res, &stored) && deliver_again(job))
        return;
    deliver_job_over(job, NULL, 0);
}

/* In memory, or small but in a file as memory was short. */
bool send_small(struct deliver_job *job)
{
    struct span data;

    switch (spool_fetch(job->spool, 0, (size_t)job->octets, &data)) {
    case SPOOL_READY:
        break;
    case SPOOL_WAIT:
        deliver_reads(job, true);
        return true;
    case SPOOL_FAILED:
        return false;
    }
    ASSERT(data.len == job->octets);
    ask_deliver(job, data, small_answered);
    spool_let_go(job->spool);
    return true;
}

/* ------------------------------------------------------------ a large message */

static void large_ended(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;
    bool committed = status == DB_OK && strcmp(PQcmdStatus(res), "COMMIT") == 0;

    if (committed && pg_unconfirmed(job->deliver->pg)) {
        committed = false;
        status = DB_LOST;
    }
    PQclear(res);
    if (job->status == DB_OK && !committed && !job->nothing)
        deliver_fault(job, status == DB_OK ? DB_BUG : status);
    if (job->status != DB_OK && deliver_again(job))
        return;
    deliver_job_over(job, NULL, 0);
}

static void ask_end(struct deliver_job *job, enum delivery_statement how)
{
    struct pg_args args = PG_ARGS_EMPTY;

    job->ending = true;
    pg_ask(job->deliver->pg, job->ref, how, &args, large_ended, job);
}

/*
 * A fault: the transaction is given up as soon as no answer of it is on its way. What is being
 * read is of no interest.
 */
static void large_fault(struct deliver_job *job, enum db_status status)
{
    deliver_fault(job, status);
    deliver_reads(job, false);
    if (job->in_flight == 0 && !job->ending)
        ask_end(job, PG_ROLLBACK);
}

static void large_decided(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;
    int64_t stored;

    if (!decided(job, status, res, &stored)) {
        large_fault(job, DB_BUG);
        return;
    }
    job->nothing = stored == 0;
    ask_end(job, stored > 0 ? PG_COMMIT : PG_ROLLBACK);
}

static void part_answered(void *arg, enum db_status status, PGresult *res);

/*
 * The next pieces, as many as may be on their way, and one more is read ahead; behind the last one
 * the verdict is asked for.
 */
static void large_go_on(struct deliver_job *job)
{
    while (job->status == DB_OK && job->sent < job->octets) {
        struct pg_args args = PG_ARGS_EMPTY;
        struct buf room = BUF_EMPTY;
        struct span piece;
        enum spool_state state = spool_fetch(job->spool, job->sent, PIECE, &piece);
        if (state == SPOOL_WAIT) {
            deliver_reads(job, true);
            return;
        }
        if (state == SPOOL_FAILED) {
            large_fault(job, DB_RETRY);
            return;
        }
        if (job->in_flight == PIECES_IN_FLIGHT)
            break;
        pg_arg_int8(&args, job->content);
        pg_arg_int4(&args, content_part_at(job->sent));
        pg_arg_bytes(&args, run_of(piece, job->codec, &room));
        pg_arg_int4(&args, (int32_t)piece.len);
        job->sent += piece.len;
        job->in_flight++;
        pg_ask(job->deliver->pg, job->ref, PG_PUT_OCTETS, &args, part_answered, job);
        buf_free(&room);
    }
    if (job->status == DB_OK && job->sent == job->octets && job->in_flight == 0 && !job->deciding) {
        job->deciding = true;
        ask_deliver(job, (struct span){ NULL, 0 }, large_decided);
    }
}

static void part_answered(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;

    PQclear(res);
    job->in_flight--;
    if (status != DB_OK || job->status != DB_OK)
        large_fault(job, status);
    else
        large_go_on(job);
}

static void content_answered(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;

    if (status == DB_OK && (PQntuples(res) != 1 || !pg_get_int8(res, 0, 0, &job->content)))
        status = DB_BUG;
    PQclear(res);
    job->in_flight--;
    if (status != DB_OK || job->status != DB_OK)
        large_fault(job, status);
    else
        large_go_on(job);
}

void send_spool_ready(void *arg)
{
    struct deliver_job *job = arg;

    if (!job->reading)
        return;
    deliver_reads(job, false);
    if (job->large) {
        large_go_on(job);
    } else if (!send_small(job)) {
        job->status = DB_RETRY;
        deliver_job_over(job, NULL, 0);
    }
}

void send_stop_large(struct deliver_job *job)
{
    large_fault(job, DB_RETRY);
}

static void begin_answered(void *arg, enum db_status status, PGresult *res)
{
    struct deliver_job *job = arg;

    PQclear(res);
    job->in_flight--;
    if (status != DB_OK)
        large_fault(job, status);
}

bool send_large(struct deliver_job *job)
{
    struct pg_args none = PG_ARGS_EMPTY, args = PG_ARGS_EMPTY;

    pg_arg_int8(&args, (int64_t)job->octets);
    pg_arg_bytes(&args, (struct span){ (const char *)job->digest, sizeof job->digest });
    job->in_flight = 2;
    pg_ask(job->deliver->pg, job->ref, PG_BEGIN, &none, begin_answered, job);
    pg_ask(job->deliver->pg, job->ref, PG_PUT_CONTENT, &args, content_answered, job);
    return true;
}
