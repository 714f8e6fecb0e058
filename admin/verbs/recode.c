/*
 * recode.c - `recode`: mail that is stored already, in another form.
 *
 * Reads the octets of some contents, codes them, and writes them back in one transaction,
 * while mail flows; of a large content a run at a time. A run that was killed leaves what it
 * has done, and the next one goes on with the rest. Must never write anything that does not
 * hold the very octets that were read: each run is decoded again before it is sent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/progress.h"
#include "admin/verbs/scope.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"
#include "storage/content/run.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum {
    PAGE = 1000,
    BATCH = 1000, BATCH_MAX = 100000,
    RUN_OCTETS = 16 * SEGMENT_OCTETS,           /* in one transaction, with all that is in it: some ten milliseconds */
    RUN_PARTS = RUN_OCTETS / PART_OCTETS,
    ROUNDS = 5,                                 /* for what others had locked */
    ROUND_MS = 200,
};

struct candidate {
    int64_t content, octets;
};

struct candidates {
    struct candidate *at;
    size_t count, cap;
    int64_t octets;
};

struct recode {
    struct ctl *c;
    struct progress progress;
    const char *to;
    int32_t codec;
    int64_t batch_max, octets_per_second;
    bool dry;
    struct scope scope;
    struct args scope_args;                     /* its two parameters */
    struct candidates batch, busy;
    struct buf contents, firsts, octets, runs;  /* arrays that run side by side */
    uint32_t count;                             /* of each */
    struct buf plain, room;
    uint64_t read;                              /* octets */
    int64_t done, done_octets, stored_octets, gone, damaged;
};

static void add(struct candidates *all, int64_t content, int64_t octets)
{
    if (all->count == all->cap) {
        all->cap = all->cap == 0 ? 64 : 2 * all->cap;
        all->at = mem_resize(all->at, all->cap, sizeof all->at[0]);
    }
    all->at[all->count++] = (struct candidate){ content, octets };
    all->octets += octets;
}

static void clear(struct candidates *all)
{
    all->count = 0;
    all->octets = 0;
}

/* ---- writing */

static void runs_begin(struct recode *r)
{
    pg_array_begin(&r->contents, PG_INT8);
    pg_array_begin(&r->firsts, PG_INT4);
    pg_array_begin(&r->octets, PG_INT4);
    pg_array_begin(&r->runs, PG_BYTEA);
    r->count = 0;
}

static void tell_damaged(struct recode *r, int64_t content, const char *why)
{
    r->damaged++;
    progress_clear(&r->progress);
    ctl_error(CTL_FAILED, "content %lld stays as it is: %s: run posternctl verify", (long long)content, why);
}

/* What an answer has of a content, which is to be `octets`, from this part on. False: it stays as it is. */
static bool runs_add(struct recode *r, const struct candidate *c, int32_t first, int64_t octets,
                     const struct piece_part *part)
{
    struct span plain, run;

    if (!part->found) {
        r->gone++;
        return false;
    }
    if (part->broken || part->cut || (int64_t)part->octets != octets) {
        tell_damaged(r, c->content, part->broken ? "a part is missing or damaged" : "its length is wrong");
        return false;
    }
    buf_clear(&r->plain);
    for (size_t i = 0; i < part->count; i++)
        buf_add(&r->plain, part->spans[i].at, part->spans[i].len);
    plain = buf_span(&r->plain);
    run = run_of(plain, r->codec, &r->room);
    if (!run_holds(run, plain)) {
        tell_damaged(r, c->content, "it does not become what it was when it is decoded again");
        return false;
    }
    pg_array_put_int8(&r->contents, c->content);
    pg_array_put_int4(&r->firsts, first);
    pg_array_put_int4(&r->octets, (int32_t)octets);
    pg_array_put_bytes(&r->runs, run);
    r->read += plain.len;
    r->count++;
    return true;
}

/* As postern.recode() numbers them. */
enum outcome { GONE = 0, DONE = 1, BUSY = 2 };

/* One transaction. The answer has an outcome for each run, in their order; NULL after a message. */
static PGresult *runs_send(struct recode *r, bool last)
{
    struct args a = ARGS_NONE;

    pg_array_set_count(&r->contents, r->count);
    pg_array_set_count(&r->firsts, r->count);
    pg_array_set_count(&r->octets, r->count);
    pg_array_set_count(&r->runs, r->count);
    args_int(&a, r->codec);
    args_binary(&a, &r->contents);
    args_binary(&a, &r->firsts);
    args_binary(&a, &r->octets);
    args_binary(&a, &r->runs);
    args_bool(&a, last);
    return db_ask_binary(r->c, "write mail back",
                         "select content, outcome, stored from postern.recode($1, $2, $3, $4, $5, $6)", &a);
}

/* Of a content, or of the last run of a large one that was made. */
static void count_outcome(struct recode *r, const struct candidate *c, enum outcome outcome)
{
    switch (outcome) {
    case GONE:
        r->gone++;
        break;
    case DONE:
        r->done++;
        break;
    case BUSY:
        add(&r->busy, c->content, c->octets);
        break;
    }
}

/* What became of a run of so many octets. */
static enum outcome take_outcome(struct recode *r, const PGresult *res, int row, int64_t octets)
{
    enum outcome outcome = (enum outcome)db_int4(res, row, 1);

    if (outcome == DONE) {
        r->done_octets += octets;
        r->stored_octets += db_int8(res, row, 2);
    }
    return outcome;
}

/* ---- reading */

static struct piece_message content_of(const void *asked, size_t k)
{
    const struct candidate *c = (const struct candidate *)asked + k;

    return (struct piece_message){ c->content, (uint64_t)c->octets };
}

/* These contents, in rising order, from this part on. NULL after a message. */
static struct piece_set *fetch(struct recode *r, const struct candidate *some, size_t count, int32_t first)
{
    const struct piece_range range = {
        .first = (uint32_t)first, .parts = RUN_PARTS, .begins = first == 0, .most = RUN_OCTETS
    };
    struct args a = ARGS_NONE;
    struct buf contents = BUF_EMPTY;
    struct piece_set *set;
    PGresult *res;

    pg_array_begin(&contents, PG_INT8);
    for (size_t k = 0; k < count; k++)
        pg_array_put_int8(&contents, some[k].content);
    pg_array_set_count(&contents, (uint32_t)count);
    args_binary(&a, &contents);
    args_int(&a, first);
    args_int(&a, RUN_PARTS);
    res = db_ask_binary(r->c, "read mail", "select " PIECE_COLUMNS " from postern.recode_parts($1, $2, $3)", &a);
    buf_free(&contents);
    if (res == NULL)
        return NULL;
    set = piece_set_new(res, content_of, some, count, &range);
    if (set == NULL)
        ctl_error(CTL_FAILED, "could not read mail: there is a content that was not asked for");
    return set;
}

/* ---- a batch of small contents */

static int by_content(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;

    return (a->content > b->content) - (a->content < b->content);
}

/* In rising order, and each of them once: several messages may refer to one. */
static void put_in_order(struct candidates *all)
{
    size_t n = 0;

    qsort(all->at, all->count, sizeof all->at[0], by_content);
    for (size_t k = 0; k < all->count; k++)
        if (n == 0 || all->at[k].content != all->at[n - 1].content)
            all->at[n++] = all->at[k];
    all->count = n;
}

static const struct candidate *find(const struct candidates *all, int64_t content)
{
    const struct candidate key = { content, 0 }, *found;

    found = bsearch(&key, all->at, all->count, sizeof all->at[0], by_content);
    ASSERT(found != NULL);
    return found;
}

static bool send_batch(struct recode *r)
{
    PGresult *res = runs_send(r, true);

    if (res == NULL)
        return false;
    for (int row = 0; row < PQntuples(res); row++) {
        const struct candidate *c = find(&r->batch, db_int8(res, row, 0));
        count_outcome(r, c, take_outcome(r, res, row, c->octets));
    }
    PQclear(res);
    return true;
}

static void keep_pace(struct recode *r)
{
    progress_step(&r->progress, (uint64_t)r->done, (int64_t)r->read);
    progress_keep_rate(&r->progress, r->read, r->octets_per_second);
}

/* All that has gathered. */
static bool flush(struct recode *r)
{
    struct piece_set *set;
    bool good = true;

    if (r->batch.count == 0)
        return true;
    put_in_order(&r->batch);
    set = fetch(r, r->batch.at, r->batch.count, 0);
    if (set == NULL)
        return false;
    runs_begin(r);
    for (size_t k = 0; k < r->batch.count; k++)
        runs_add(r, &r->batch.at[k], 0, r->batch.at[k].octets, piece_set_part(set, k));
    piece_release(piece_set_ref(set));
    if (r->count > 0)
        good = send_batch(r);
    clear(&r->batch);
    keep_pace(r);
    return good;
}

/* ---- a large content, run by run */

static bool recode_large(struct recode *r, const struct candidate *c)
{
    enum outcome outcome = DONE;

    for (int64_t at = 0; at < c->octets && outcome == DONE; at += RUN_OCTETS) {
        int64_t left = c->octets - at, octets = left < RUN_OCTETS ? left : RUN_OCTETS;
        int32_t first = content_part_at((uint64_t)at);
        struct piece_set *set = fetch(r, c, 1, first);
        PGresult *res;
        bool added;

        if (set == NULL)
            return false;
        runs_begin(r);
        added = runs_add(r, c, first, octets, piece_set_part(set, 0));
        piece_release(piece_set_ref(set));
        if (!added)
            return true;
        res = runs_send(r, octets == left);
        if (res == NULL)
            return false;
        outcome = take_outcome(r, res, 0, octets);
        PQclear(res);
        keep_pace(r);
    }
    count_outcome(r, c, outcome);
    return true;
}

static bool take(struct recode *r, int64_t content, int64_t octets)
{
    const struct candidate c = { content, octets };

    if (r->dry) {
        r->done++;
        r->done_octets += octets;
        return true;
    }
    if (octets > RUN_OCTETS)
        return flush(r) && recode_large(r, &c);
    add(&r->batch, content, octets);
    return r->batch.octets < RUN_OCTETS && (int64_t)r->batch.count < r->batch_max ? true : flush(r);
}

/* ---- which contents */

/* All that are left in a mailbox, or, where it is NULL, in the store. */
static bool recode_all_of(struct recode *r, const struct mailbox_ref *mailbox)
{
    int64_t after = 0;
    bool good = true;

    for (int rows = PAGE; good && rows == PAGE;) {
        struct args a = ARGS_NONE;
        PGresult *res;

        args_int(&a, r->codec);
        if (mailbox != NULL)
            args_mailbox(&a, mailbox);
        else
            args_null(&a);
        args_int(&a, after);
        args_int(&a, PAGE);
        res = db_ask_binary(r->c, "find mail to recode",
                            "select place, content, octets from postern.recode_contents($1, $2, $3, $4)", &a);
        if (res == NULL)
            return false;
        rows = PQntuples(res);
        for (int row = 0; row < rows && good; row++)
            good = PQgetisnull(res, row, 1) || take(r, db_int8(res, row, 1), db_int8(res, row, 2));
        if (rows > 0)
            after = db_int8(res, rows - 1, 0);
        PQclear(res);
    }
    return good;
}

static bool recode_scope(struct recode *r)
{
    int64_t after = 0;
    bool good = true;

    if (r->scope.all)
        return recode_all_of(r, NULL);
    for (int rows = PAGE; good && rows == PAGE;) {
        struct args a = r->scope_args;
        PGresult *res;

        args_int(&a, after);
        args_int(&a, PAGE);
        res = db_ask_binary(r->c, "find mailboxes", "select mailbox from postern.recode_mailboxes($1, $2, $3, $4)", &a);
        if (res == NULL)
            return false;
        rows = PQntuples(res);
        for (int row = 0; row < rows && good; row++) {
            struct mailbox_ref mailbox = db_mailbox(res, row, 0);
            good = recode_all_of(r, &mailbox);
        }
        if (rows > 0)
            after = db_int8(res, rows - 1, 0);
        PQclear(res);
    }
    return good;
}

/* What others had locked when its turn came. */
static bool recode_busy(struct recode *r)
{
    bool good = true;

    for (int round = 0; good && round < ROUNDS && r->busy.count > 0; round++) {
        const struct timespec pause = { 0, ROUND_MS * 1000000L };
        struct candidates before = r->busy;

        nanosleep(&pause, NULL);
        r->busy = (struct candidates){ NULL, 0, 0, 0 };
        for (size_t k = 0; k < before.count && good; k++)
            good = take(r, before.at[k].content, before.at[k].octets);
        good = good && flush(r);
        mem_free(before.at);
    }
    return good;
}

static void tell(const struct recode *r, bool complete)
{
    struct json j;

    if (!r->c->json) {
        if (r->dry)
            printf("%lld content(s), %lld octets would be recoded to %s\n", (long long)r->done,
                   (long long)r->done_octets, r->to);
        else
            printf("%lld content(s), %lld octets recoded to %s: they take %lld octets; %lld were removed meanwhile,"
                   " %zu are locked by others, %lld are damaged\n",
                   (long long)r->done, (long long)r->done_octets, r->to, (long long)r->stored_octets,
                   (long long)r->gone, r->busy.count, (long long)r->damaged);
        return;
    }
    json_start(&j, stdout);
    json_object(&j, NULL);
    json_bool(&j, "dry_run", r->dry);
    json_text(&j, "to", span_str(r->to));
    json_int(&j, "contents", r->done);
    json_int(&j, "octets", r->done_octets);
    json_int(&j, "stored_octets", r->stored_octets);
    json_int(&j, "removed", r->gone);
    json_int(&j, "locked", (int64_t)r->busy.count);
    json_int(&j, "damaged", r->damaged);
    json_bool(&j, "complete", complete);
    json_end(&j);
}

static void free_all(struct recode *r)
{
    mem_free(r->batch.at);
    mem_free(r->busy.at);
    buf_free(&r->contents);
    buf_free(&r->firsts);
    buf_free(&r->octets);
    buf_free(&r->runs);
    buf_free(&r->plain);
    buf_free(&r->room);
}

enum ctl_exit run_recode(struct ctl *c)
{
    struct recode r = { .c = c, .to = c->opt[OPT_TO] != NULL ? c->opt[OPT_TO] : "zstd",
                        .dry = c->opt[OPT_DRY_RUN] != NULL };
    enum ctl_exit end = CTL_DONE;
    int64_t rate;
    bool good;

    if (!codec_named(span_str(r.to), &r.codec))
        return ctl_error(CTL_USAGE, "there is no codec \"%s\": give zstd or plain", r.to);
    if (!ctl_number(c, OPT_BATCH, BATCH, BATCH_MAX, &r.batch_max) || !ctl_number(c, OPT_RATE, 0, 1000000, &rate) ||
        !scope_args(c, &r.scope_args, &r.scope))
        return CTL_USAGE;
    r.octets_per_second = rate * 1000000;
    if (!r.dry && (end = db_call(c, "begin", "select postern.begin_recode()", &ARGS_NONE)) != CTL_DONE)
        return end;
    progress_start(&r.progress, "contents", 0);
    good = recode_scope(&r) && flush(&r) && recode_busy(&r);
    progress_clear(&r.progress);
    if (!good)
        end = db_end(c);
    if (good || c->json || r.done_octets > 0)
        tell(&r, good);
    if (end == CTL_DONE && (r.damaged > 0 || r.busy.count > 0))
        end = CTL_PARTLY;
    free_all(&r);
    return end;
}
