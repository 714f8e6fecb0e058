/*
 * pg_lanes.c - the lanes of a worker together: which is the least busy, who
 * hears notifications.
 */
#include "storage/pg/pg.h"

#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/connect.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/net/loop.h"
#include "storage/pg/collation.h"
#include "storage/pg/pg_away.h"
#include "storage/pg/pg_group.h"
#include "storage/pg/pg_hang.h"
#include "storage/pg/pg_lane.h"
#include "storage/pg/pg_run.h"
#include "storage/pg/schema.h"


/* ---- answers that need no question */

static void answer_later(void *arg)
{
    struct pg *pg = arg;
    struct later *batch = pg->laters.at;
    size_t count = pg->laters.count;

    /* What the answers ask for now comes in the next turn. */
    pg->laters.at = NULL;
    pg->laters.count = pg->laters.cap = 0;
    pg->told.sqlstate[0] = '\0';
    pg->told.took_us = 0;
    pg->told.unconfirmed = false;
    for (size_t i = 0; i < count; i++)
        batch[i].answer(batch[i].arg, batch[i].status, NULL);
    mem_free(batch);
}

void pg_later(struct pg *pg, enum db_status status, pg_answer *answer, void *arg)
{
    if (pg->laters.count == pg->laters.cap) {
        pg->laters.cap = pg->laters.cap == 0 ? 16 : pg->laters.cap * 2;
        pg->laters.at = mem_resize(pg->laters.at, pg->laters.cap, sizeof pg->laters.at[0]);
    }
    pg->laters.at[pg->laters.count++] = (struct later){ answer, arg, status };
    if (pg->laters.count == 1)
        timer_set(pg->laters.timer, 0);
}

/* ---- questions */

bool pg_alive(struct pg_ref ref)
{
    return ref.lane != NULL && ref.lane->state == LANE_UP && !ref.lane->broken &&
           ref.lane->generation == ref.generation;
}

/* A lane that is about to be given up still takes questions, so that they are answered in the order of asking. */
static bool takes_questions(struct pg_ref ref)
{
    return ref.lane != NULL && ref.lane->state == LANE_UP && ref.lane->generation == ref.generation;
}

static void ask(struct pg *pg, struct pg_ref ref, const struct pg_statement *statement, const struct pg_args *args,
                pg_answer *answer, void *arg)
{
    struct question q = { answer, arg, statement, clock_us(), true };

    if (!takes_questions(ref)) {
        pg_later(pg, DB_LOST, answer, arg);
        return;
    }
    ASSERT(args->count == statement->arg_count);
    pg->asked += !statement->apart;
    lane_send(ref.lane, &q, args);
}

void pg_ask(struct pg *pg, struct pg_ref ref, size_t statement, const struct pg_args *args, pg_answer *answer,
            void *arg)
{
    ASSERT(statement < pg->statements->count);
    ask(pg, ref, &pg->statements->at[statement], args, answer, arg);
}

void pg_ask_grouped(struct pg *pg, struct pg_ref ref, size_t statement, const struct pg_args *args, pg_answer *answer,
                    void *arg)
{
    const struct pg_statement *s = &pg->statements->at[statement];
    struct question q = { answer, arg, s, clock_us(), false };

    ASSERT(statement < pg->statements->count && s->group_sql != NULL && args->count == s->arg_count);
    if (pg->one_session || !takes_questions(ref))
        ask(pg, ref, s, args, answer, arg);
    else
        group_ask(ref.lane, &q, args);
}

void pg_break(struct pg_ref ref, const char *why)
{
    if (pg_alive(ref))
        lane_break(ref.lane, why);
}

int pg_backend_pid(struct pg_ref ref)
{
    return pg_alive(ref) ? ref.lane->pid : 0;
}

uint64_t pg_server(struct pg_ref ref)
{
    return ref.lane != NULL && ref.lane->generation == ref.generation ? ref.lane->server : 0;
}

struct pg_ref pg_listener(const struct pg *pg)
{
    for (size_t i = 0; i < pg->count; i++)
        if (pg->lanes[i].use.listens && pg->lanes[i].state == LANE_UP && !pg->lanes[i].broken)
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
    struct pollfd *fds = mem_array(pg->count + PG_MORE_LANES, sizeof fds[0]);
    struct pg_lane **lanes = mem_array(pg->count + PG_MORE_LANES, sizeof lanes[0]);
    nfds_t count = 0;

    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        group_flush(lane);
        if (lane->state != LANE_UP || lane->broken || lane->answers.asked.count == 0)
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

enum { SLOW_MS = 1000 };

/*
 * One on which nobody waits long; that is not at work for a single session; and of several the one that has
 * sessions already, whose questions can then be asked together, but not too many.
 */
static bool is_better(const struct pg_lane *lane, const struct pg_lane *than)
{
    size_t together = lane->pg->wants.together;
    bool full = lane->use.bound >= together, than_full = than->use.bound >= together;
    bool slow = lane_waits(lane) >= SLOW_MS, than_slow = lane_waits(than) >= SLOW_MS;

    if (slow != than_slow)
        return !slow;
    if (lane->use.busy_with != than->use.busy_with)
        return lane->use.busy_with < than->use.busy_with;
    if (full != than_full)
        return !full;
    return full ? lane->use.bound < than->use.bound : lane->use.bound > than->use.bound;
}

/* Not before somebody has to be answered; where it did not succeed it comes again by itself. */
static void connect_now(struct pg *pg)
{
    for (size_t i = 0; i < pg->count; i++)
        if (pg->lanes[i].state == LANE_REST && !pg->lanes[i].tried)
            timer_set(pg->lanes[i].timer, 0);
}

static enum pg_bound bind(struct pg *pg, bool quickly, struct pg_ref *ref_r)
{
    struct pg_lane *quick = pg->wants.quick && pg->count > 1 ? &pg->lanes[pg->count - 1] : NULL, *best = NULL;
    bool undecided = true, taken = false;

    *ref_r = (struct pg_ref){ NULL, 0 };
    for (size_t i = 0; i < pg->count; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        if (lane->tried)
            undecided = false;
        /* Who asks here has a session to open: what others have open on such a lane is no reason to refuse it. */
        if (lane->state != LANE_UP || lane_doubt(lane))
            continue;
        taken = taken || lane->use.alone;
        if (lane->use.alone)
            continue;
        if (lane != quick && (best == NULL || is_better(lane, best)))
            best = lane;
    }
    if (quick != NULL && (quickly || best == NULL) && quick->state == LANE_UP && !quick->broken && !quick->use.alone)
        best = quick;
    if (best == NULL && pg->one_session)
        connect_now(pg);
    if (best == NULL)
        return taken ? PG_WAIT : pg->wrong_version >= 0 ? PG_WRONG : undecided ? PG_WAIT : PG_AWAY;
    best->use.bound++;
    *ref_r = (struct pg_ref){ best, best->generation };
    return PG_BOUND;
}

enum pg_bound pg_bind(struct pg *pg, struct pg_ref *ref_r)
{
    return bind(pg, false, ref_r);
}

enum pg_bound pg_bind_quick(struct pg *pg, struct pg_ref *ref_r)
{
    return bind(pg, true, ref_r);
}

void pg_unbind(struct pg_ref ref)
{
    if (ref.lane == NULL || ref.lane->generation != ref.generation)
        return;
    ref.lane->use.bound--;
    if (ref.lane->on_demand && ref.lane->use.bound == 0)
        lane_unused(ref.lane);
}

bool pg_bind_aside(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *lane = pg->aside;

    *ref_r = (struct pg_ref){ NULL, 0 };
    if (lane->timer == NULL)
        lane_start(lane);
    if (lane->state != LANE_UP || lane->broken)
        return false;
    lane->use.bound++;
    *ref_r = (struct pg_ref){ lane, lane->generation };
    return true;
}

size_t pg_bound_aside(const struct pg *pg)
{
    return pg->aside->use.bound;
}

enum pg_bound pg_bind_alone(struct pg *pg, struct pg_ref *ref_r)
{
    struct pg_lane *lane = pg->alone;

    *ref_r = (struct pg_ref){ NULL, 0 };
    if (lane->state == LANE_UP && !lane->broken) {
        lane->use.bound++;
        *ref_r = (struct pg_ref){ lane, lane->generation };
        return PG_BOUND;
    }
    if (lane->state != LANE_REST || lane->use.asked_for)
        return PG_WAIT;
    if (lane->tried) {
        lane->tried = false;
        return pg->wrong_version >= 0 ? PG_WRONG : PG_AWAY;
    }
    /* The server that the others have found. */
    for (size_t i = 0; i < pg->count; i++)
        if (pg->lanes[i].state == LANE_UP)
            lane->connecting.first_host = pg->lanes[i].connecting.first_host;
    lane->use.asked_for = true;
    if (lane->timer == NULL)
        lane_start(lane);
    else
        timer_set(lane->timer, 0);
    return PG_WAIT;
}

void pg_rebind(struct pg_ref *ref, struct pg_ref to)
{
    ASSERT(pg_alive(to));
    pg_unbind(*ref);
    to.lane->use.bound++;
    *ref = to;
}

bool pg_keep_alone(struct pg *pg, struct pg_ref ref)
{
    size_t others = 0;

    if (!pg_alive(ref) || ref.lane->use.alone)
        return false;
    for (size_t i = 0; i < pg->count; i++) {
        const struct pg_lane *lane = &pg->lanes[i];
        others += lane != ref.lane && lane->state == LANE_UP && !lane->broken && !lane->use.alone;
    }
    /* Where there is only one at all, there is no other way. */
    ref.lane->use.alone = others > 0 || pg->count == 1;
    return ref.lane->use.alone;
}

bool pg_is_alone(struct pg_ref ref)
{
    return pg_alive(ref) && ref.lane->use.alone && ref.lane->use.bound == 1;
}

void pg_share(struct pg_ref ref)
{
    if (ref.lane != NULL && ref.lane->generation == ref.generation)
        ref.lane->use.alone = false;
}

const char *pg_sqlstate(const struct pg *pg)
{
    return pg->told.sqlstate;
}

bool pg_unconfirmed(const struct pg *pg)
{
    return pg->told.unconfirmed;
}

uint64_t pg_took_us(const struct pg *pg)
{
    return pg->told.took_us;
}

size_t pg_lanes_busy(const struct pg *pg)
{
    size_t n = 0;
    for (size_t i = 0; i < pg->count; i++)
        n += pg->lanes[i].answers.asked.count > 0;
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
    return pg->asked;
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
        if (lane->use.listens)
            return;
        if (first == NULL)
            first = lane;
    }
    if (first != NULL)
        lane_listen(first);
}

static const Oid collation_columns[] = { PG_TEXT, PG_TEXT, PG_TEXT };
static const struct pg_statement collation = {
    .name = "COLLATION", .sql = COLLATION_QUERY, .columns = collation_columns, .column_count = 3,
    .apart = true, .once = true,
};

static void collation_answered(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    if (status == DB_OK)
        collation_tell(res);
    PQclear(res);
}

enum { FOLLOW_MS = 200 };

/* Two servers by turns count on, and then nothing is believed of either for longer than necessary. */
static void note_server(struct pg_lane *lane)
{
    struct pg_server *server = &lane->pg->server;

    if (strcmp(server->identity, lane->connecting.server) != 0) {
        if (server->number++ > 0)
            log_info(NULL, "database lane %u: another server or timeline than before (%s, was %s)", lane->number,
                     lane->connecting.server, server->identity);
        memcpy(server->identity, lane->connecting.server, sizeof server->identity);
    }
    lane->server = server->number;
}

/* Where one has found the way the others need not wait for their turn; not all of them in the same moment. */
static void others_connect(const struct pg_lane *lane)
{
    struct pg *pg = lane->pg;

    for (size_t i = 0; i < pg->count; i++) {
        struct pg_lane *other = &pg->lanes[i];
        if (other->state != LANE_REST || !other->tried || pg->one_session)
            continue;
        other->connecting.first_host = lane->connecting.first_host;
        timer_set(other->timer, randombytes_uniform(FOLLOW_MS));
    }
}

static void lane_is_up(struct pg_lane *lane)
{
    struct pg *pg = lane->pg;

    note_server(lane);
    /* It may be newer than that of others, which serve sessions of their own or wait for one. */
    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++)
        (void)lane_doubt(&pg->lanes[i]);
    pg->wrong_version = -1;
    if (lane == pg->control) {
        hang_heard(pg);
        lane_unused(lane);
        return;
    }
    others_connect(lane);
    choose_listener(pg);
    if (lane == &pg->lanes[0] && collation_is_shared())
        ask(pg, (struct pg_ref){ lane, lane->generation }, &collation, &PG_ARGS_EMPTY, collation_answered, NULL);
    pg->events->decided(pg->owner);
}

static void lane_was_lost(struct pg_lane *lane)
{
    struct pg *pg = lane->pg;

    if (pg->freeing)
        return;
    if (lane == pg->control) {
        /* Whoever says no is there. */
        if (!lane->connecting.timed_out)
            hang_heard(pg);
        return;
    }
    metric_add(METRIC_LANES_LOST, 1);
    choose_listener(pg);
    pg->events->lost(pg->owner);
    pg->events->decided(pg->owner);
}

static void found_version(struct pg *pg, int version)
{
    if (pg->wrong_version == version)
        return;
    pg->wrong_version = version;
    pg->events->wrong_schema(pg->owner, schema_advice(version));
}

static const struct pg_lane_events lane_events = {
    .up = lane_is_up, .lost = lane_was_lost, .gone = group_lose, .overdue = hang_look,
    .wrong_version = found_version
};

/* ---- life */

struct pg *pg_new(struct loop *loop, const char *conninfo, const struct pg_statements *statements,
                  const struct pg_wants *wants, const struct pg_events *events, void *owner)
{
    struct pg *pg = mem_zalloc(sizeof *pg);
    unsigned char random[8];
    char hex[2 * sizeof random + 1];

    pg->loop = loop;
    pg->server.conninfo = mem_str(conninfo);
    pg->server.wants_writable = connect_wants_writable(conninfo);
    pg->statements = statements;
    pg->longest = pg_run_kinds(statements);
    pg->lane_events = &lane_events;
    pg->wants = *wants;
    pg->events = events;
    pg->owner = owner;
    pg->wrong_version = -1;
    randombytes_buf(random, sizeof random);
    snprintf(pg->reply_channel, sizeof pg->reply_channel, "postern_reply_%s",
             sodium_bin2hex(hex, sizeof hex, random, sizeof random));
    pg->laters.timer = timer_new(loop, answer_later, pg);
    pg->away.timer = timer_new(loop, pg_away_due, pg);
    pg->count = wants->lanes;
    pg->lanes = mem_array(wants->lanes + PG_MORE_LANES, sizeof pg->lanes[0]);
    pg->aside = &pg->lanes[wants->lanes];
    pg->alone = pg->aside + 1;
    pg->control = pg->alone + 1;
    for (size_t i = 0; i < wants->lanes + PG_MORE_LANES; i++) {
        pg->lanes[i].pg = pg;
        pg->lanes[i].statement_timeout = wants->statement_timeout;
        pg->lanes[i].number = (unsigned)i + 1;
        pg->lanes[i].away.reserve = -1;
        lane_reserve(&pg->lanes[i]);
    }
    pg->alone->on_demand = pg->control->on_demand = true;
    pg->alone->statement_timeout = PG_ALONE_MS;
    for (size_t i = 0; i < PG_SPARE; i++)
        pg->away.spare[i] = -1;
    pg_reserve(pg);
    group_begin(pg);
    for (size_t i = 0; i < wants->lanes; i++)
        lane_start(&pg->lanes[i]);
    return pg;
}

void pg_serve_one(struct pg *pg)
{
    pg->one_session = true;
    for (size_t i = 0; i < pg->count; i++)
        timer_stop(pg->lanes[i].timer);
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
    lane_end(pg->alone);
    lane_end(pg->control);
    /* Last, as the answers of the lanes may have asked something of a lane that is no more. */
    while (pg->laters.count > 0)
        answer_later(pg);
    group_end(pg);
    timer_free(&pg->laters.timer);
    timer_free(&pg->away.timer);
    pg_use_reserve(pg);
    mem_free(pg->lanes);
    mem_free(pg->longest);
    mem_free(pg->server.conninfo);
    mem_free(pg);
    *pgp = NULL;    /* not before: answers may ask */
}
