/*
 * put.c - messages into a mailbox, in batches, each one transaction.
 *
 * The connection is in pipeline mode for as long as a struct put lives. Must
 * never count a message as stored before its commit was answered.
 */
#include "admin/mail/put.h"

#include "admin/db.h"
#include "daemon/base/mem.h"
#include "daemon/base/sql.h"
#include "storage/content/codec.h"
#include "storage/content/run.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

struct gathered {
    size_t at, len;             /* in octets */
    unsigned char digest[CONTENT_DIGEST];
    int64_t received;
    char *uidl;
};

struct batch {
    struct buf octets;
    struct gathered *messages;  /* PUT_BATCH_MESSAGES */
    size_t count;
};

struct put {
    struct ctl *c;
    struct mailbox_ref mailbox;
    const char *sql_messages;
    const char *label;          /* put_from(), or NULL */
    struct batch batch;         /* that is gathered */
    /* that was sent up to its commit, and not answered; kept, as it may have to be sent again */
    struct batch flight;
    bool in_flight;
    bool conflict;              /* the last failure: rolled back, and may be tried again; nothing was said */
    int tries;                  /* that failed so, in a row */
    uint64_t stored, stored_octets;

    /* a large message */
    int64_t content;
    uint64_t announced, came, sent;
    unsigned char digest[CONTENT_DIGEST];
    struct content_hash hash;

    int32_t codec;              /* that the policy of the mailbox wants */
    struct buf a1, a2, a3, a4;  /* arrays of parameters */
    struct buf room;            /* of run_of() */
};

static const char sql_contents[] = "select postern.put_contents($1, $2, $3)";
static const char sql_parts[] = "select postern.put_parts($1, $2, $3, $4)";
static const char sql_note[] = "select postern.note_imported($1, $2, $3, $4)";
static const char sql_messages[] = "select postern.put_messages($1, $2, $3, null, $4)";
static const char sql_over_quota[] = "select postern.put_over_quota($1, $2, $3, null, $4)";

/* Where it cannot be asked, what comes next is told so. */
static int32_t wanted_codec(struct ctl *c, const struct mailbox_ref *mailbox)
{
    struct args a = ARGS_NONE;
    PGresult *res;
    int32_t codec = CODEC_PLAIN;

    args_mailbox(&a, mailbox);
    res = db_send(c, "select postern.mail_codec($1)", &a, 1) ? PQgetResult(c->db) : NULL;
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1 || !pg_get_int4(res, 0, 0, &codec) ||
        codec_find(codec) == NULL)
        codec = CODEC_PLAIN;
    for (; res != NULL; res = PQgetResult(c->db))
        PQclear(res);
    return codec;
}

struct put *put_new(struct ctl *c, const struct mailbox_ref *mailbox, bool over_quota)
{
    struct put *p = mem_zalloc(sizeof *p);

    p->c = c;
    p->sql_messages = over_quota ? sql_over_quota : sql_messages;
    p->mailbox = *mailbox;
    p->codec = wanted_codec(c, mailbox);
    p->batch.messages = mem_array(PUT_BATCH_MESSAGES, sizeof *p->batch.messages);
    p->flight.messages = mem_array(PUT_BATCH_MESSAGES, sizeof *p->flight.messages);
    ASSERT(PQenterPipelineMode(c->db) == 1);
    return p;
}

void put_from(struct put *put, const char *label) { put->label = label; }

static void forget(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        mem_free(b->messages[i].uidl);
    b->count = 0;
    buf_clear(&b->octets);
}

uint64_t put_stored(const struct put *put) { return put->stored; }
uint64_t put_stored_octets(const struct put *put) { return put->stored_octets; }

/* ---------------------------------------------------------------- pipeline */

static bool send(struct put *p, const char *sql, const struct args *a)
{
    return db_send(p->c, sql, a, 1);
}

/* The next answer; NULL is the end of the connection. */
static PGresult *take(struct put *p)
{
    PGresult *res = PQgetResult(p->c->db), *end;

    if (res != NULL && PQresultStatus(res) != PGRES_PIPELINE_SYNC) {
        end = PQgetResult(p->c->db);
        ASSERT(end == NULL || PQstatus(p->c->db) != CONNECTION_OK);
        PQclear(end);
    }
    return res;
}

/* Said, unless it is to be tried again. */
static enum ctl_exit fault(struct put *p, const PGresult *res)
{
    p->conflict = sql_is_conflict(PQresultErrorField(res, PG_DIAG_SQLSTATE)) && ++p->tries < SQL_TRIES;
    return p->conflict ? CTL_FAILED : db_failed(p->c, "store messages", res);
}

/*
 * Takes `questions` answers and the Sync behind them. The first one that failed
 * is reported, the transaction rolled back. The last answer is in *last_r.
 */
static enum ctl_exit answers(struct put *p, int questions, PGresult **last_r)
{
    enum ctl_exit end = CTL_DONE;
    PGresult *last = NULL;

    for (int i = 0; i <= questions; i++) {
        PGresult *res = take(p);
        ExecStatusType status = PQresultStatus(res);

        if (i == questions && status == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            break;
        }
        if (end == CTL_DONE && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            end = fault(p, res);
        PQclear(last);
        last = res;
        if (res == NULL)
            break;
    }
    if (end != CTL_DONE && PQstatus(p->c->db) == CONNECTION_OK) {
        const struct args none = ARGS_NONE;

        if (send(p, "rollback", &none) && PQpipelineSync(p->c->db) == 1) {
            PQclear(take(p));
            PQclear(take(p));
        }
    }
    if (last_r != NULL && end == CTL_DONE)
        *last_r = last;
    else
        PQclear(last);
    return end;
}

static enum ctl_exit not_sent(struct put *p)
{
    return ctl_error(CTL_NO_DATABASE, "could not store messages: %s", PQerrorMessage(p->c->db));
}

static enum ctl_exit send_batch(struct put *p);

/* The batch that is under way is committed, or not. */
static enum ctl_exit land(struct put *p)
{
    enum ctl_exit end;

    if (!p->in_flight)
        return CTL_DONE;
    p->in_flight = false;
    end = answers(p, 4, NULL);
    while (end != CTL_DONE && p->conflict) {
        end = send_batch(p);
        if (end == CTL_DONE)
            end = answers(p, 4, NULL);
    }
    if (end == CTL_DONE) {
        p->stored += p->flight.count;
        p->stored_octets += buf_left(&p->flight.octets);
        p->tries = 0;
    }
    forget(&p->flight);
    return end;
}

void put_free(struct put **put)
{
    struct put *p = *put;

    land(p);
    forget(&p->batch);
    buf_free(&p->batch.octets);
    buf_free(&p->flight.octets);
    buf_free(&p->a1);
    buf_free(&p->a2);
    buf_free(&p->a3);
    buf_free(&p->a4);
    buf_free(&p->room);
    mem_free(p->batch.messages);
    mem_free(p->flight.messages);
    PQexitPipelineMode(p->c->db);
    mem_free(p);
    *put = NULL;
}

/* put_contents for all of a1 to a3; their ids in *ids_r, to be read within *res_r. */
static enum ctl_exit ask_contents(struct put *p, PGresult **res_r, struct pg_array *ids_r, uint32_t count)
{
    const struct args none = ARGS_NONE;
    struct args a = ARGS_NONE;
    PGresult *res = NULL;
    enum ctl_exit end;

    p->conflict = false;
    args_binary(&a, &p->a1);
    args_binary(&a, &p->a2);
    args_binary(&a, &p->a3);
    if (!send(p, "begin", &none) || !send(p, sql_contents, &a) || PQpipelineSync(p->c->db) != 1)
        return not_sent(p);
    end = answers(p, 2, &res);
    if (end != CTL_DONE)
        return end;
    ASSERT(pg_array_start(ids_r, db_bytes(res, 0, 0), PG_INT8) && ids_r->count == count);
    *res_r = res;
    return CTL_DONE;
}

/* ------------------------------------------------------------------- small */

static void arrays_of_contents(struct put *p)
{
    pg_array_begin(&p->a1, PG_INT8);
    pg_array_begin(&p->a2, PG_BYTEA);
    pg_array_begin(&p->a3, PG_INT4);
    for (size_t i = 0; i < p->flight.count; i++) {
        pg_array_put_int8(&p->a1, (int64_t)p->flight.messages[i].len);
        pg_array_put_bytes(&p->a2, (struct span){ (const char *)p->flight.messages[i].digest, CONTENT_DIGEST });
        pg_array_put_int4(&p->a3, 1);
    }
    pg_array_set_count(&p->a1, (uint32_t)p->flight.count);
    pg_array_set_count(&p->a2, (uint32_t)p->flight.count);
    pg_array_set_count(&p->a3, (uint32_t)p->flight.count);
}

/* Arrays that run side by side: contents, the parts that their runs begin with, the runs, and their octets. */
static void runs_begin(struct put *p)
{
    pg_array_begin(&p->a1, PG_INT8);
    pg_array_begin(&p->a2, PG_INT4);
    pg_array_begin(&p->a3, PG_BYTEA);
    pg_array_begin(&p->a4, PG_INT4);
}

static void runs_add(struct put *p, int64_t content, uint64_t offset, struct span octets)
{
    struct span run = run_of(octets, p->codec, &p->room);

    ASSERT(octets.len <= INT32_MAX);
    pg_array_put_int8(&p->a1, content);
    pg_array_put_int4(&p->a2, content_part_at(offset));
    pg_array_put_bytes(&p->a3, run);
    pg_array_put_int4(&p->a4, (int32_t)octets.len);
}

static bool runs_send(struct put *p, uint32_t count)
{
    struct args a = ARGS_NONE;

    pg_array_set_count(&p->a1, count);
    pg_array_set_count(&p->a2, count);
    pg_array_set_count(&p->a3, count);
    pg_array_set_count(&p->a4, count);
    args_binary(&a, &p->a1);
    args_binary(&a, &p->a2);
    args_binary(&a, &p->a3);
    args_binary(&a, &p->a4);
    return send(p, sql_parts, &a);
}

static bool send_parts(struct put *p, struct pg_array ids)
{
    struct span all = buf_span(&p->flight.octets);

    runs_begin(p);
    for (size_t i = 0; i < p->flight.count; i++) {
        const struct gathered *m = &p->flight.messages[i];
        int64_t id = 0;

        ASSERT(pg_array_int8(&ids, &id));
        runs_add(p, id, 0, (struct span){ all.at + m->at, m->len });
    }
    return runs_send(p, (uint32_t)p->flight.count);
}

static bool send_messages(struct put *p, struct pg_array ids)
{
    struct args a = ARGS_NONE;
    bool any = false;

    pg_array_begin(&p->a1, PG_INT8);
    pg_array_begin(&p->a2, PG_TIMESTAMPTZ);
    pg_array_begin(&p->a3, PG_TEXT);
    for (size_t i = 0; i < p->flight.count; i++) {
        int64_t id = 0;

        ASSERT(pg_array_int8(&ids, &id));
        pg_array_put_int8(&p->a1, id);
        pg_array_put_time(&p->a2, p->flight.messages[i].received);
        if (p->flight.messages[i].uidl != NULL) {
            pg_array_put_bytes(&p->a3, span_str(p->flight.messages[i].uidl));
            any = true;
        } else {
            pg_array_put_null(&p->a3);
        }
    }
    pg_array_set_count(&p->a1, (uint32_t)p->flight.count);
    pg_array_set_count(&p->a2, (uint32_t)p->flight.count);
    pg_array_set_count(&p->a3, (uint32_t)p->flight.count);
    args_mailbox(&a, &p->mailbox);
    args_binary(&a, &p->a1);
    args_binary(&a, &p->a2);
    if (any)
        args_binary(&a, &p->a3);
    else
        args_null(&a);
    return send(p, p->sql_messages, &a);
}

/* The digests in a1, the UIDLs in a3: what --resume will know, whatever a client deletes until then. */
static bool send_note(struct put *p, bool uidls)
{
    struct args a = ARGS_NONE;

    args_mailbox(&a, &p->mailbox);
    args_binary(&a, &p->a1);
    if (uidls)
        args_binary(&a, &p->a3);
    else
        args_null(&a);
    args_text(&a, p->label);
    return send(p, sql_note, &a);
}

/* Behind send_messages(), which has made a3. */
static bool send_notes(struct put *p)
{
    bool any = false;

    buf_clear(&p->a1);
    for (size_t i = 0; i < p->flight.count; i++) {
        buf_add(&p->a1, p->flight.messages[i].digest, CONTENT_DIGEST);
        any |= p->flight.messages[i].uidl != NULL;
    }
    return send_note(p, any);
}

/* What is in flight, up to its commit. */
static enum ctl_exit send_batch(struct put *p)
{
    const struct args none = ARGS_NONE;
    struct pg_array ids;
    PGresult *res = NULL;
    enum ctl_exit end;
    bool sent;

    arrays_of_contents(p);
    end = ask_contents(p, &res, &ids, (uint32_t)p->flight.count);
    if (end != CTL_DONE)
        return end;
    sent = send_parts(p, ids) && send_messages(p, ids) && send_notes(p) && send(p, "commit", &none) &&
           PQpipelineSync(p->c->db) == 1;
    PQclear(res);
    if (!sent)
        return not_sent(p);
    return CTL_DONE;
}

/*
 * Sends the batch; its answer is taken when the next one is sent. After a
 * failure it is forgotten: what comes later must not be stored in front of it.
 */
static enum ctl_exit launch(struct put *p)
{
    enum ctl_exit end = land(p);

    struct batch empty = p->flight;

    if (end == CTL_DONE && p->batch.count > 0) {
        p->flight = p->batch;
        p->batch = empty;
        do
            end = send_batch(p);
        while (end != CTL_DONE && p->conflict);
        p->in_flight = end == CTL_DONE;
        if (!p->in_flight)
            forget(&p->flight);
    }
    forget(&p->batch);
    return end;
}

enum ctl_exit put_small(struct put *p, struct span octets, const unsigned char digest[CONTENT_DIGEST],
                        int64_t received, const char *uidl)
{
    struct batch *b = &p->batch;
    struct gathered *m = &b->messages[b->count++];

    *m = (struct gathered){ buf_left(&b->octets), octets.len, { 0 }, received, uidl != NULL ? mem_str(uidl) : NULL };
    memcpy(m->digest, digest, CONTENT_DIGEST);
    buf_add(&b->octets, octets.at, octets.len);
    return b->count == PUT_BATCH_MESSAGES || buf_left(&b->octets) >= PUT_BATCH_OCTETS ? launch(p) : CTL_DONE;
}

enum ctl_exit put_flush(struct put *p)
{
    enum ctl_exit end = launch(p);

    return end == CTL_DONE ? land(p) : end;
}

/* ------------------------------------------------------------------- large */

enum ctl_exit put_large_begin(struct put *p, uint64_t octets, const unsigned char digest[CONTENT_DIGEST])
{
    struct pg_array ids;
    PGresult *res = NULL;
    enum ctl_exit end = put_flush(p);   /* what came before stands before it */

    if (end != CTL_DONE)
        return end;
    ASSERT(octets <= INT64_MAX);
    pg_array_begin(&p->a1, PG_INT8);
    pg_array_put_int8(&p->a1, (int64_t)octets);
    pg_array_set_count(&p->a1, 1);
    pg_array_begin(&p->a2, PG_BYTEA);
    pg_array_put_bytes(&p->a2, (struct span){ (const char *)digest, CONTENT_DIGEST });
    pg_array_set_count(&p->a2, 1);
    pg_array_begin(&p->a3, PG_INT4);
    pg_array_put_int4(&p->a3, 1);
    pg_array_set_count(&p->a3, 1);
    end = ask_contents(p, &res, &ids, 1);
    if (end != CTL_DONE)
        return end;
    ASSERT(pg_array_int8(&ids, &p->content));
    PQclear(res);
    p->announced = octets;
    p->came = p->sent = 0;
    memcpy(p->digest, digest, CONTENT_DIGEST);
    content_hash_begin(&p->hash);
    return CTL_DONE;
}

bool put_large_again(const struct put *p)
{
    return p->conflict;
}

/* Whole segments of what was gathered, or with `all` the last one too. */
static enum ctl_exit large_parts(struct put *p, bool all)
{
    struct span run = buf_span(&p->batch.octets);

    if (!all)
        run.len = content_whole(run.len);
    if (run.len == 0)
        return CTL_DONE;
    runs_begin(p);
    runs_add(p, p->content, p->sent, run);
    if (!runs_send(p, 1) || PQpipelineSync(p->c->db) != 1)
        return not_sent(p);
    p->sent += run.len;
    buf_consume(&p->batch.octets, run.len);
    return answers(p, 1, NULL);
}

enum ctl_exit put_large_data(struct put *p, const char *at, size_t len)
{
    content_hash_add(&p->hash, (struct span){ at, len });
    p->came += len;
    buf_add(&p->batch.octets, at, len);
    return buf_left(&p->batch.octets) >= PUT_BATCH_OCTETS ? large_parts(p, false) : CTL_DONE;
}

void put_large_abandon(struct put *p)
{
    const struct args none = ARGS_NONE;

    buf_clear(&p->batch.octets);
    if (send(p, "rollback", &none) && PQpipelineSync(p->c->db) == 1)
        answers(p, 1, NULL);
}

enum ctl_exit put_large_end(struct put *p, int64_t received, const char *uidl)
{
    const struct args none = ARGS_NONE;
    struct args a = ARGS_NONE;
    unsigned char digest[CONTENT_DIGEST];
    enum ctl_exit end = large_parts(p, true);

    if (end != CTL_DONE)
        return end;
    content_hash_end(&p->hash, digest);
    if (p->came != p->announced || memcmp(digest, p->digest, CONTENT_DIGEST) != 0) {
        put_large_abandon(p);
        return ctl_error(CTL_FAILED, "a message changed while being read: it was not stored");
    }
    pg_array_begin(&p->a1, PG_INT8);
    pg_array_put_int8(&p->a1, p->content);
    pg_array_set_count(&p->a1, 1);
    pg_array_begin(&p->a2, PG_TIMESTAMPTZ);
    pg_array_put_time(&p->a2, received);
    pg_array_set_count(&p->a2, 1);
    args_mailbox(&a, &p->mailbox);
    args_binary(&a, &p->a1);
    args_binary(&a, &p->a2);
    if (uidl != NULL) {
        pg_array_begin(&p->a3, PG_TEXT);
        pg_array_put_bytes(&p->a3, span_str(uidl));
        pg_array_set_count(&p->a3, 1);
        args_binary(&a, &p->a3);
    } else {
        args_null(&a);
    }
    if (!send(p, p->sql_messages, &a))
        return not_sent(p);
    buf_clear(&p->a1);
    buf_add(&p->a1, digest, CONTENT_DIGEST);
    if (!send_note(p, uidl != NULL) || !send(p, "commit", &none) || PQpipelineSync(p->c->db) != 1)
        return not_sent(p);
    end = answers(p, 3, NULL);
    if (end == CTL_DONE) {
        p->tries = 0;
        p->stored++;
        p->stored_octets += p->came;
    }
    return end;
}
