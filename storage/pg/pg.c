/*
 * pg.c - the lanes of a worker together: which is the least busy, what an
 * error means, who hears notifications.
 */
#include "storage/pg/pg.h"

#include <poll.h>
#include <sodium.h>
#include <stdio.h>

#include "daemon/base/clock.h"
#include "daemon/base/connect.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/base/sql.h"
#include "daemon/net/loop.h"
#include "storage/pg/collation.h"
#include "storage/pg/conninfo.h"
#include "storage/pg/pg_lane.h"
#include "storage/pg/schema.h"

enum { ERRORS_LOGGED = 5, ERRORS_WINDOW_MS = 10000 };

#define LIST(...) __VA_ARGS__
#define STATEMENT(name, sql, args, columns) \
    static const Oid args_of_##name[] = { 0, args }; \
    static const Oid columns_of_##name[] = { 0, columns };   /* from 1, as there may be none */
#include "storage/pg/statements.def"
#include "storage/pg/deliver_statements.def"
#undef STATEMENT

const struct statement pg_statement_table[PG_STATEMENTS] = {
#define STATEMENT(name, sql, args, columns) \
    [PG_##name] = { #name, sql, args_of_##name + 1, columns_of_##name + 1, \
                    sizeof args_of_##name / sizeof(Oid) - 1, sizeof columns_of_##name / sizeof(Oid) - 1 },
#include "storage/pg/statements.def"
#include "storage/pg/deliver_statements.def"
#undef STATEMENT
};

/* ---- answers that need no question */

static void answer_later(void *arg)
{
    struct pg *pg = arg;
    struct later *batch = pg->later;
    size_t count = pg->later_count;

    /* What the answers ask for now comes in the next turn. */
    pg->later = NULL;
    pg->later_count = pg->later_cap = 0;
    pg->sqlstate[0] = '\0';
    pg->took_us = 0;
    for (size_t i = 0; i < count; i++)
        batch[i].answer(batch[i].arg, batch[i].status, NULL);
    mem_free(batch);
}

void pg_later(struct pg *pg, enum db_status status, pg_answer *answer, void *arg)
{
    if (pg->later_count == pg->later_cap) {
        pg->later_cap = pg->later_cap == 0 ? 16 : pg->later_cap * 2;
        pg->later = mem_resize(pg->later, pg->later_cap, sizeof pg->later[0]);
    }
    pg->later[pg->later_count++] = (struct later){ answer, arg, status };
    if (pg->later_count == 1)
        timer_set(pg->later_timer, 0);
}

/* ---- questions */

bool pg_alive(struct pg_ref ref)
{
    return ref.lane != NULL && ref.lane->state == LANE_UP && !ref.lane->broken &&
           ref.lane->generation == ref.generation;
}

void pg_ask(struct pg *pg, struct pg_ref ref, enum pg_statement statement, const struct pg_args *args,
            pg_answer *answer, void *arg)
{
    struct question q = { answer, arg, statement, clock_us() };

    /* A lane that is about to be given up still takes questions, so that they are answered in the order of asking. */
    if (ref.lane == NULL || ref.lane->state != LANE_UP || ref.lane->generation != ref.generation) {
        pg_later(pg, DB_LOST, answer, arg);
        return;
    }
    ASSERT(args->count == pg_statement_table[statement].arg_count);
    if (statement != PG_COLLATION && statement != PG_ANSWER && statement != PG_ASK_RELEASE &&
        statement != PG_IS_ORDERED)
        pg->statements++;
    lane_send(ref.lane, &q, args);
}

void pg_break(struct pg_ref ref, const char *why)
{
    if (pg_alive(ref))
        lane_break(ref.lane, why);
}

int pg_backend_pid(struct pg_ref ref)
{
    return pg_alive(ref) ? PQbackendPID(ref.lane->conn) : 0;
}

struct pg_ref pg_listener(const struct pg *pg)
{
    for (size_t i = 0; i < pg->count; i++)
        if (pg->lanes[i].listens && pg->lanes[i].state == LANE_UP && !pg->lanes[i].broken)
            return (struct pg_ref){ &pg->lanes[i], pg->lanes[i].generation };
    return (struct pg_ref){ NULL, 0 };
}

const char *pg_reply_channel(struct pg *pg)
{
    struct pg_ref listener = pg_listener(pg);

    if (!pg->hears_replies && listener.lane != NULL)
        lane_listen_to(listener.lane, pg->reply_channel);
    pg->hears_replies = true;
    return pg->reply_channel;
}

bool pg_wait(struct pg *pg, int ms)
{
    struct pollfd *fds = mem_array(pg->count + 1, sizeof fds[0]);
    struct pg_lane **lanes = mem_array(pg->count + 1, sizeof lanes[0]);
    nfds_t count = 0;

    for (size_t i = 0; i <= pg->count; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        if (lane->state != LANE_UP || lane->broken || lane->asked.count == 0)
            continue;
        short events = POLLIN | (PQflush(lane->conn) > 0 ? POLLOUT : 0);
        lanes[count] = lane;
        fds[count++] = (struct pollfd){ .fd = PQsocket(lane->conn), .events = events };
    }
    bool came = count > 0 && poll(fds, count, ms) > 0;
    for (nfds_t i = 0; came && i < count; i++)
        if (fds[i].revents != 0)
            lane_event(lanes[i], fds[i].fd, (fds[i].revents & POLLOUT) != 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    mem_free(fds);
    mem_free(lanes);
    return came;
}

/* ---- binding */

enum pg_bound pg_bind(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *best = NULL;
    bool undecided = true, taken = false;

    *ref_r = (struct pg_ref){ NULL, 0 };
    for (size_t i = 0; i < pg->count; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        if (lane->tried)
            undecided = false;
        if (lane->state != LANE_UP || lane->broken)
            continue;
        taken = taken || lane->alone;
        if (lane->alone)
            continue;
        if (best == NULL || lane->bound < best->bound ||
            (lane->bound == best->bound && lane->asked.count < best->asked.count))
            best = lane;
    }
    if (best == NULL)
        return taken ? PG_WAIT : pg->wrong_version >= 0 ? PG_WRONG : undecided ? PG_WAIT : PG_AWAY;
    best->bound++;
    *ref_r = (struct pg_ref){ best, best->generation };
    return PG_BOUND;
}

void pg_unbind(struct pg_ref ref)
{
    if (ref.lane != NULL && ref.lane->generation == ref.generation)
        ref.lane->bound--;
}

bool pg_bind_aside(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *lane = pg->aside;

    *ref_r = (struct pg_ref){ NULL, 0 };
    if (lane->timer == NULL)
        lane_start(lane);
    if (lane->state != LANE_UP || lane->broken)
        return false;
    lane->bound++;
    *ref_r = (struct pg_ref){ lane, lane->generation };
    return true;
}

size_t pg_bound_aside(const struct pg *pg)
{
    return pg->aside->bound;
}

void pg_rebind(struct pg_ref *ref, struct pg_ref to)
{
    ASSERT(pg_alive(to));
    pg_unbind(*ref);
    to.lane->bound++;
    *ref = to;
}

bool pg_keep_alone(struct pg *pg, struct pg_ref ref)
{
    size_t others = 0;

    if (!pg_alive(ref) || ref.lane->alone)
        return false;
    for (size_t i = 0; i < pg->count; i++)
        others +=
            &pg->lanes[i] != ref.lane && pg->lanes[i].state == LANE_UP && !pg->lanes[i].broken && !pg->lanes[i].alone;
    /* Where there is only one at all, there is no other way. */
    ref.lane->alone = others > 0 || pg->count == 1;
    return ref.lane->alone;
}

void pg_share(struct pg_ref ref)
{
    if (ref.lane != NULL && ref.lane->generation == ref.generation)
        ref.lane->alone = false;
}

const char *pg_sqlstate(const struct pg *pg)
{
    return pg->sqlstate;
}

uint64_t pg_took_us(const struct pg *pg)
{
    return pg->took_us;
}

size_t pg_lanes_busy(const struct pg *pg)
{
    size_t n = 0;
    for (size_t i = 0; i < pg->count; i++)
        n += pg->lanes[i].asked.count > 0;
    return n;
}

size_t pg_lanes_up(const struct pg *pg)
{
    size_t n = 0;
    for (size_t i = 0; i < pg->count; i++)
        n += pg->lanes[i].state == LANE_UP && !pg->lanes[i].broken;
    return n;
}

unsigned long long pg_statements(const struct pg *pg)
{
    return pg->statements;
}

/* ---- what lanes report */

/* One lane that is up listens: each worker answers once. */
static void choose_listener(struct pg *pg)
{
    struct pg_lane *first = NULL;

    if (pg->events->notified == NULL)
        return;
    for (size_t i = 0; i < pg->count; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        if (lane->state != LANE_UP || lane->broken)
            continue;
        if (lane->listens)
            return;
        if (first == NULL)
            first = lane;
    }
    if (first != NULL)
        lane_listen(first);
}

static void collation_answered(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    if (status == DB_OK)
        collation_tell(res);
    PQclear(res);
}

void pg_lane_up(struct pg_lane *lane)
{
    struct pg *pg = lane->pg;

    pg->wrong_version = -1;
    choose_listener(pg);
    if (lane == &pg->lanes[0] && collation_is_shared())
        pg_ask(pg, (struct pg_ref){ lane, lane->generation }, PG_COLLATION, &PG_ARGS_EMPTY, collation_answered, NULL);
    pg->events->decided(pg->owner);
}

void pg_lane_lost(struct pg_lane *lane)
{
    struct pg *pg = lane->pg;

    if (pg->freeing)
        return;
    metric_add(METRIC_LANES_LOST, 1);
    choose_listener(pg);
    pg->events->lost(pg->owner);
    pg->events->decided(pg->owner);
}

void pg_found_version(struct pg *pg, int version)
{
    if (pg->wrong_version == version)
        return;
    pg->wrong_version = version;
    pg->events->wrong_schema(pg->owner, schema_advice(version));
}

/* ---- errors */

/* None: libpq says it, not the database: the connection was lost, or there was no memory for the answer. */
static enum db_status meaning(const char *state)
{
    static const char *const not_now[] = {
        "08",       /* connection */
        "25006",    /* the database is read-only: a standby, or told so */
        "40001",    /* serialization failure */
        "40P01",    /* deadlock */
        "53",       /* disk full, out of memory or lock slots, too many connections */
        "55P03",    /* lock not available */
        "57014",    /* statement_timeout, or an operator cancelled it */
        "57P0",     /* shutdown, crash of another backend, starting up */
        "58",       /* the system under it: input/output error */
    };

    if (state[0] == '\0')
        return DB_RETRY;
    if (strcmp(state, "PN423") == 0)    /* expunge(): this connection does not hold the maildrop */
        return DB_LOST;
    for (size_t i = 0; i < sizeof not_now / sizeof not_now[0]; i++)
        if (strncmp(state, not_now[i], strlen(not_now[i])) == 0)
            return DB_RETRY;
    return DB_BUG;
}

enum db_status pg_error(struct pg *pg, const PGresult *res, const char *what)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    uint64_t now = loop_now(pg->loop);

    if (state == NULL)
        state = "";
    if (message == NULL)
        message = PQresultErrorMessage(res);
    if (now - pg->errors_since > ERRORS_WINDOW_MS) {
        if (pg->errors > ERRORS_LOGGED)
            log_error(NULL, "database: %u further errors were not logged", pg->errors - ERRORS_LOGGED);
        pg->errors_since = now;
        pg->errors = 0;
    }
    const char *function = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
    enum db_status status = sql_cannot_load(function) ? DB_RETRY : meaning(state);
    metric_add(METRIC_SQL_ERRORS, 1);
    if (++pg->errors <= ERRORS_LOGGED)
        log_error(NULL, "database statement=%s result=%s sqlstate=%s message=%s%s", what, db_status_name(status), state,
                  log_text(span_str(message)).s, sql_advice(state, function));
    return status;
}

/* ---- life */

struct pg *pg_new(struct loop *loop, const char *conninfo, enum pg_set set, size_t lanes, uint64_t statement_timeout,
                  uint64_t retry, const struct pg_events *events, void *owner)
{
    struct pg *pg = mem_zalloc(sizeof *pg);
    unsigned char random[8];
    char hex[2 * sizeof random + 1];

    pg->loop = loop;
    pg->conninfo = mem_str(conninfo);
    pg->hosts = conninfo_hosts(conninfo);
    pg->wants_writable = connect_wants_writable(conninfo);
    pg->set = set;
    pg->statement_timeout = statement_timeout;
    pg->retry = retry;
    pg->events = events;
    pg->owner = owner;
    pg->wrong_version = -1;
    randombytes_buf(random, sizeof random);
    snprintf(pg->reply_channel, sizeof pg->reply_channel, "postern_reply_%s",
             sodium_bin2hex(hex, sizeof hex, random, sizeof random));
    pg->later_timer = timer_new(loop, answer_later, pg);
    pg->away_timer = timer_new(loop, pg_away_due, pg);
    pg->count = lanes;
    pg->lanes = mem_array(lanes + 1, sizeof pg->lanes[0]);
    pg->aside = &pg->lanes[lanes];
    for (size_t i = 0; i < lanes + 1; i++) {
        pg->lanes[i].pg = pg;
        pg->lanes[i].number = (unsigned)i + 1;
        pg->lanes[i].reserve = -1;
        lane_reserve(&pg->lanes[i]);
    }
    for (size_t i = 0; i < PG_SPARE; i++)
        pg->spare[i] = -1;
    pg_reserve(pg);
    for (size_t i = 0; i < lanes; i++)
        lane_start(&pg->lanes[i]);
    return pg;
}

void pg_serve_one(struct pg *pg)
{
    pg->one_session = true;
}

void pg_free(struct pg **pgp)
{
    struct pg *pg = *pgp;

    if (pg == NULL)
        return;
    pg->freeing = true;
    for (size_t i = 0; i < pg->count; i++)
        lane_end(&pg->lanes[i]);
    lane_end(pg->aside);
    /* Last, as the answers of the lanes may have asked something of a lane that is no more. */
    while (pg->later_count > 0)
        answer_later(pg);
    timer_free(&pg->later_timer);
    timer_free(&pg->away_timer);
    pg_use_reserve(pg);
    mem_free(pg->lanes);
    mem_free(pg->conninfo);
    mem_free(pg);
    *pgp = NULL;    /* not before: answers may ask */
}
