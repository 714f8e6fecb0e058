/*
 * pg_group.c - gathering, sending, and dealing the answers out.
 *
 * The group form of a statement takes, for each of its parameters, an array of
 * them; for one that is an array itself all their elements, one after the other,
 * and behind it the number of each one's elements (int4[], -1 for null). It gives
 * rows with the columns of the statement behind the number of whom they are for
 * (int4, from 1, rising).
 *
 * Whoever gets no row, and all where the group as a whole failed, are asked again
 * alone: an error stays with its own session, and what a group form is not made
 * for (a listing that is very long) it leaves out. So a group form that fails must
 * leave nothing behind. Where that is not certain (session-level locks survive a
 * rollback, and a time can run out after the function that took them has returned)
 * its `undo` is asked before anybody is: with the first parameter of the group, for
 * one int8 that nobody reads.
 */
#include "storage/pg/pg_group.h"

#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/loop.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_away.h"
#include "storage/pg/pg_lane.h"

enum { GROUP_MEMBERS = 64, GROUP_OCTETS = 512 * 1024 };

/* A question that waits, or is in a group. */
struct member {
    struct question q;
    struct pg_args args;        /* their values are behind it */
    size_t octets;              /* of the values */
};

struct gathering {
    struct member **at;
    size_t count, cap;
    bool under_way;             /* what was sent last has no answer yet */
};

/* What was sent. */
struct group {
    struct pg_lane *lane;
    size_t kind;
    size_t count;
    struct member *members[GROUP_MEMBERS];
};

/* ---- forms */

static Oid array_of(Oid type)
{
    switch (type) {
    case PG_BOOL:
        return PG_BOOL_ARRAY;
    case PG_INT4:
        return PG_INT4_ARRAY;
    case PG_INT8:
        return PG_INT8_ARRAY;
    case PG_TEXT:
        return PG_TEXT_ARRAY;
    case PG_BYTEA:
        return PG_BYTEA_ARRAY;
    default:
        return 0;
    }
}

/* Of an array; 0: it is none. */
static Oid element_of(Oid type)
{
    static const Oid elements[] = { PG_BOOL, PG_INT4, PG_INT8, PG_TEXT, PG_BYTEA };

    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++)
        if (array_of(elements[i]) == type)
            return elements[i];
    return 0;
}

static const Oid undo_columns[] = { PG_INT8 };

static void make_form(struct pg_group_form *form, const struct pg_statement *s)
{
    int args = 0;

    form->columns[0] = PG_INT4;
    for (int i = 0; i < s->column_count; i++)
        form->columns[1 + i] = s->columns[i];
    for (int i = 0; i < s->arg_count; i++) {
        bool is_array = element_of(s->args[i]) != 0;
        ASSERT(args + 1 + is_array <= PG_ARGS_MAX);
        form->args[args++] = is_array ? s->args[i] : array_of(s->args[i]);
        if (is_array)
            form->args[args++] = PG_INT4_ARRAY;
    }
    form->statement = (struct pg_statement){
        .name = s->group_name, .sql = s->group_sql, .args = form->args, .arg_count = args, .columns = form->columns,
        .column_count = 1 + s->column_count,
    };
    form->undo = (struct pg_statement){
        .name = s->group_name, .sql = s->group_undo, .args = form->args, .arg_count = 1, .columns = undo_columns,
        .column_count = 1, .apart = true, .once = true,
    };
}

void group_begin(struct pg *pg)
{
    const struct pg_statements *all = pg->statements;

    pg->forms = mem_array(all->count, sizeof pg->forms[0]);
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i].group_sql != NULL)
            make_form(&pg->forms[i], &all->at[i]);
    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++)
        pg->lanes[i].gatherings = mem_array(all->count, sizeof(struct gathering));
    pg->flush = mem_zalloc(sizeof *pg->flush);
    pg->flush->pg = pg;
}

void group_end(struct pg *pg)
{
    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++) {
        for (size_t kind = 0; kind < pg->statements->count; kind++)
            mem_free(pg->lanes[i].gatherings[kind].at);
        mem_free(pg->lanes[i].gatherings);
    }
    mem_free(pg->forms);
    if (pg->flush->due)
        pg->flush->pg = NULL;       /* whom the loop calls still frees it */
    else
        mem_free(pg->flush);
}

/* ---- when it goes out */

static void flush_lanes(void *arg)
{
    struct pg_flush *flush = arg;
    struct pg *pg = flush->pg;

    if (pg == NULL) {
        mem_free(flush);
        return;
    }
    flush->due = false;
    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++)
        group_flush(&pg->lanes[i]);
}

static void flush_later(struct pg *pg)
{
    if (pg->flush->due)
        return;
    pg->flush->due = true;
    loop_before_wait(pg->loop, flush_lanes, pg->flush);
}

/* ---- members */

static struct member *copy_question(const struct question *q, const struct pg_args *args)
{
    size_t octets = 0;

    for (int i = 0; i < args->count; i++)
        octets += (size_t)args->lengths[i];
    struct member *m = mem_alloc(sizeof *m + octets);
    char *at = (char *)(m + 1);
    m->q = *q;
    m->octets = octets;
    m->args.count = args->count;
    for (int i = 0; i < args->count; i++) {
        m->args.values[i] = args->values[i] == NULL ? NULL : at;
        m->args.lengths[i] = args->lengths[i];
        if (args->lengths[i] > 0)
            memcpy(at, args->values[i], (size_t)args->lengths[i]);
        at += args->lengths[i];
    }
    return m;
}

static void answer_member(struct member *m, enum db_status status, PGresult *res)
{
    struct question q = m->q;

    mem_free(m);
    q.answer(q.arg, status, res);
}

/* ---- the statement of a group */

/* One parameter of all members, as an array. */
static void add_values(struct buf *out, const struct group *g, int arg, Oid type)
{
    pg_array_begin(out, type);
    for (size_t i = 0; i < g->count; i++) {
        const struct pg_args *args = &g->members[i]->args;
        if (args->values[arg] == NULL)
            pg_array_put_null(out);
        else
            pg_array_put_bytes(out, (struct span){ args->values[arg], (size_t)args->lengths[arg] });
    }
    pg_array_set_count(out, (uint32_t)g->count);
}

/* One that is an array itself: all elements, and how many are whose. */
static void add_elements(struct buf *out, struct buf *counts, const struct group *g, int arg, Oid element)
{
    uint32_t all = 0;

    pg_array_begin(out, element);
    pg_array_begin(counts, PG_INT4);
    for (size_t i = 0; i < g->count; i++) {
        const struct pg_args *args = &g->members[i]->args;
        struct pg_array array;
        bool is_null = args->values[arg] == NULL;
        if (!is_null) {
            /* Our own: what was asked is what was made here. */
            bool sane = pg_array_start(&array, (struct span){ args->values[arg], (size_t)args->lengths[arg] }, element);
            ASSERT(sane);
            pg_array_put_rest(out, &array);
            all += array.count;
        }
        pg_array_put_int4(counts, is_null ? -1 : (int32_t)array.count);
    }
    pg_array_set_count(out, all);
    pg_array_set_count(counts, (uint32_t)g->count);
}

static void group_answered(void *arg, enum db_status status, PGresult *res);

static void send_group(struct group *g)
{
    struct pg *pg = g->lane->pg;
    const struct pg_statement *s = &pg->statements->at[g->kind], *form = &pg->forms[g->kind].statement;
    struct question q = { group_answered, g, form, clock_us(), false };
    struct buf room[PG_ARGS_MAX];
    struct pg_args args = PG_ARGS_EMPTY;
    int used = 0;

    for (int i = 0; i < form->arg_count; i++)
        room[i] = BUF_EMPTY;
    for (int i = 0; i < s->arg_count; i++) {
        Oid element = element_of(s->args[i]);
        if (element == 0) {
            add_values(&room[used++], g, i, s->args[i]);
        } else {
            add_elements(&room[used], &room[used + 1], g, i, element);
            used += 2;
        }
    }
    for (int i = 0; i < used; i++)
        pg_arg_bytes(&args, buf_span(&room[i]));
    metric_add(METRIC_SQL_GROUPS, 1);
    metric_add(METRIC_SQL_GROUPED, g->count);
    pg->asked += !s->apart;
    lane_send(g->lane, &q, &args);
    for (int i = 0; i < used; i++)
        buf_free(&room[i]);
}

/* ---- one alone */

/* What has gathered meanwhile can go, with what the answers ask for in this turn. */
static void ended(const struct group *g)
{
    g->lane->gatherings[g->kind].under_way = false;
    if (g->lane->gathered > 0)
        flush_later(g->lane->pg);
}

static void alone_answered(void *arg, enum db_status status, PGresult *res)
{
    struct group *g = arg;
    struct member *m = g->members[0];

    ended(g);
    mem_free(g);
    answer_member(m, status, res);
}

static void send_alone(struct pg_lane *lane, const struct question *q, const struct pg_args *args)
{
    lane->pg->asked += !q->statement->apart;
    lane_send(lane, q, args);
}

/* What goes out now; at most as much as a statement may hold. */
static void send_gathered(struct pg_lane *lane, size_t kind)
{
    struct gathering *gathering = &lane->gatherings[kind];
    struct group *g = mem_zalloc(sizeof *g);
    size_t octets = 0;

    g->lane = lane;
    g->kind = kind;
    while (g->count < gathering->count && g->count < GROUP_MEMBERS &&
           (g->count == 0 || octets + gathering->at[g->count]->octets <= GROUP_OCTETS)) {
        octets += gathering->at[g->count]->octets;
        g->members[g->count] = gathering->at[g->count];
        g->count++;
    }
    gathering->count -= g->count;
    lane->gathered -= g->count;
    memmove(gathering->at, gathering->at + g->count, gathering->count * sizeof gathering->at[0]);
    gathering->under_way = true;
    if (g->count > 1) {
        send_group(g);
    } else {
        struct question q = g->members[0]->q;
        q.answer = alone_answered;
        q.arg = g;
        send_alone(lane, &q, &g->members[0]->args);
    }
}

void group_flush(struct pg_lane *lane)
{
    if (lane->state != LANE_UP || lane->broken || lane->gathered == 0)
        return;
    for (size_t kind = 0; kind < lane->pg->statements->count; kind++)
        if (lane->gatherings[kind].count > 0 && !lane->gatherings[kind].under_way)
            send_gathered(lane, kind);
}

void group_ask(struct pg_lane *lane, const struct question *q, const struct pg_args *args)
{
    size_t kind = (size_t)(q->statement - lane->pg->statements->at);
    struct gathering *gathering = &lane->gatherings[kind];

    if (gathering->count == gathering->cap) {
        gathering->cap = gathering->cap == 0 ? 16 : gathering->cap * 2;
        gathering->at = mem_resize(gathering->at, gathering->cap, sizeof gathering->at[0]);
    }
    gathering->at[gathering->count++] = copy_question(q, args);
    lane->gathered++;
    if (!gathering->under_way)
        flush_later(lane->pg);
}

void group_lose(struct pg_lane *lane)
{
    for (size_t kind = 0; lane->gathered > 0 && kind < lane->pg->statements->count; kind++) {
        struct gathering *gathering = &lane->gatherings[kind];
        struct member **at = gathering->at;
        size_t count = gathering->count;
        /* Nobody asks of a lane that is lost, but the list is not to be in use while they are told. */
        *gathering = (struct gathering){ NULL, 0, 0, false };
        lane->gathered -= count;
        for (size_t i = 0; i < count; i++)
            answer_member(at[i], DB_LOST, NULL);
        mem_free(at);
    }
}

/* ---- the answer */

/* A result of its own for one member: rows from `first` on, without the number in front. NULL: no memory. */
static PGresult *copy_rows(const PGresult *res, int first, int count)
{
    PGresAttDesc columns[PG_COLUMNS_MAX];
    PGresult *copy = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    int fields = PQnfields(res) - 1;
    bool made = copy != NULL;

    for (int i = 0; i < fields; i++)
        columns[i] = (PGresAttDesc){
            .name = PQfname(res, i + 1), .format = 1, .typid = PQftype(res, i + 1), .typlen = PQfsize(res, i + 1),
            .atttypmod = -1,
        };
    made = made && PQsetResultAttrs(copy, fields, columns);
    for (int row = 0; made && row < count; row++)
        for (int i = 0; made && i < fields; i++)
            made = PQsetvalue(copy, row, i, PQgetvalue(res, first + row, i + 1),
                              PQgetisnull(res, first + row, i + 1) ? -1 : PQgetlength(res, first + row, i + 1));
    if (!made)
        PQclear(copy);
    return made ? copy : NULL;
}

/* Who a row is for, from 0; of a row that makes no sense nobody: more than there are. */
static size_t member_of(const PGresult *res, int row)
{
    int32_t n = 0;

    return pg_get_int4(res, row, 0, &n) && n > 0 ? (size_t)n - 1 : SIZE_MAX;
}

static void ask_alone(struct group *g, size_t i)
{
    struct member *m = g->members[i];

    send_alone(g->lane, &m->q, &m->args);
    mem_free(m);
}

static void deal_out(struct group *g, const PGresult *res)
{
    struct pg *pg = g->lane->pg;
    bool unconfirmed = pg->told.unconfirmed;
    uint64_t now = clock_us();
    int row = 0, rows = PQntuples(res);

    for (size_t i = 0; i < g->count; i++) {
        int first = row;
        while (row < rows && member_of(res, row) == i)
            row++;
        if (row == first) {
            ask_alone(g, i);
            continue;
        }
        PGresult *own = copy_rows(res, first, row - first);
        pg->told.sqlstate[0] = '\0';
        pg->told.unconfirmed = unconfirmed;
        pg->told.took_us = now - g->members[i]->q.asked_us;
        /* Asked again it would be done twice. */
        answer_member(g->members[i], own != NULL ? DB_OK : DB_RETRY, own);
    }
    if (row < rows)
        log_error(NULL, "database statement=%s result=bug: rows that belong to no question, or out of order",
                  pg->forms[g->kind].statement.name);
}

static void undone(void *arg, enum db_status status, PGresult *res)
{
    struct pg_lane *lane = arg;

    PQclear(res);
    if (status != DB_OK && status != DB_LOST)
        lane_break(lane, "could not take back what a group of questions had done");
}

/* Nobody knows how far it came. */
static void undo(const struct group *g)
{
    const struct pg_statement *s = &g->lane->pg->statements->at[g->kind];
    struct question q = { undone, g->lane, &g->lane->pg->forms[g->kind].undo, clock_us(), false };
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf values = BUF_EMPTY;

    if (s->group_undo == NULL)
        return;
    add_values(&values, g, 0, s->args[0]);
    pg_arg_bytes(&args, buf_span(&values));
    lane_send(g->lane, &q, &args);
    buf_free(&values);
}

static void group_answered(void *arg, enum db_status status, PGresult *res)
{
    struct group *g = arg;
    /* Without an SQLSTATE it is the answer that is wrong: what was asked for is done, and done once. */
    bool was_refused = g->lane->pg->told.sqlstate[0] != '\0';

    ended(g);
    if (status == DB_OK)
        deal_out(g, res);
    else if (was_refused)
        undo(g);
    for (size_t i = 0; status != DB_OK && i < g->count; i++) {
        if (was_refused)
            ask_alone(g, i);
        else
            answer_member(g->members[i], status, NULL);
    }
    PQclear(res);
    mem_free(g);
}
