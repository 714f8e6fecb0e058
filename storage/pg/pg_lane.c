/*
 * pg_lane.c - one connection in pipeline mode, from the first attempt to its
 * loss and back.
 *
 * Never calls an answer from within the call that asks: a send that fails marks
 * the lane as broken, and the next turn of the loop gives it up.
 */
#include "storage/pg/pg_lane.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "daemon/base/clock.h"
#include "daemon/base/connect.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/base/sql.h"
#include "daemon/net/loop.h"
#include "daemon/base/names.h"
#include "storage/pg/pg_answer.h"
#include "storage/pg/pg_away.h"
#include "storage/pg/pg_setup.h"
#include "storage/pg/question_ring.h"
#include "storage/pg/schema.h"

enum {
    RETRY_FIRST_MS = 100,
    WATCHDOG_MS = 2000,
    WATCHDOG_ASKED_MS = 1000,   /* while a question is under way */
    OVERDUE_MS = 2000,
    ANSWER_GRACE_MS = 5000,     /* behind statement_timeout, which the database keeps itself */
    READS_IN_A_TURN = 16,
};

static const int binary[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
_Static_assert(sizeof binary / sizeof binary[0] == PG_ARGS_MAX, "all parameters are binary");

/* ---- loss */

static void close_connection(struct pg_lane *lane)
{
    watch_free(&lane->watch);
    timer_stop(lane->timer);
    PQclear(lane->answers.res);
    lane->answers.res = NULL;
    PQfinish(lane->conn);
    lane->conn = NULL;
    lane->broken = false;
    lane->away.parting[0] = '\0';
    lane->use.listens = false;
    lane->primary = (struct primary_id){ 0 };
    lane->state = LANE_REST;
    if (!lane->pg->freeing)
        lane_reserve(lane);
}

/* The lane is gone, or an attempt failed: everybody is told, and after a pause it is tried again. */
static void lane_lose(struct pg_lane *lane, uint64_t pause)
{
    struct question_ring asked = lane->answers.asked;
    bool was_up = lane->state == LANE_UP;

    if (lane->state == LANE_CONNECT)
        log_debug(NULL, "database lane %u could not connect: %s", lane->number, lane->away.why);
    /* An attempt that fails after a loss is no news, but where the server is there and says no. */
    if ((!lane->away.complained || lane->state == LANE_SETUP) && !lane->pg->freeing)
        lane->away.said |= pg_say_away(lane, was_up);
    lane->away.complained = true;
    lane->tried = !(lane->on_demand && was_up);
    lane->answers.asked = (struct question_ring){ 0 };
    if (was_up) {
        lane->generation++;
        lane->use.bound = 0;
        lane->use.busy_with = 0;
        lane->use.alone = false;
    }
    close_connection(lane);
    lane->use.asked_for = false;
    /* Half of it by chance, so that workers do not come back all at once. */
    if (!lane->on_demand)
        timer_set(lane->timer, pause / 2 + randombytes_uniform((uint32_t)(pause / 2 + 1)));

    lane->pg->lane_events->lost(lane);
    lane->pg->told.sqlstate[0] = '\0';
    lane->pg->told.unconfirmed = false;
    lane->answers.unconfirmed = false;
    while (asked.count > 0) {
        struct question q = ring_take(&asked);
        q.answer(q.arg, DB_LOST, NULL);
    }
    mem_free(asked.at);
    lane->pg->lane_events->gone(lane);
}

static void lane_fail(struct pg_lane *lane, const char *why)
{
    /* What the server said counts for more than that libpq found the connection closed. */
    if (lane->state == LANE_SETUP || lane->state == LANE_UP)
        lane_hear_parting(lane);
    lane_say_why(lane, lane->away.parting[0] != '\0' ? lane->away.parting : why);
    /* The pause is 0 after a time in which the lane was up. */
    lane->connecting.pause = lane->connecting.pause == 0 ? RETRY_FIRST_MS : lane->connecting.pause * 2;
    if (lane->connecting.pause > lane->pg->wants.retry)
        lane->connecting.pause = lane->pg->wants.retry;
    lane_lose(lane, lane->connecting.pause);
}

/* The same, and it is tried again after the longest pause: waiting alone does not help. */
static void lane_give_up(struct pg_lane *lane, const char *why)
{
    lane_say_why(lane, why);
    lane->connecting.pause = lane->pg->wants.retry;
    lane_lose(lane, lane->connecting.pause);
}

/* ---- sending */

/* Sends what libpq still has; true unless the connection failed. */
static bool lane_flush(struct pg_lane *lane)
{
    int left = PQflush(lane->conn);
    if (left < 0)
        return false;
    watch_set(lane->watch, left > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    return true;
}

/*
 * The question waits for its answer in any case; a connection that failed gives
 * it with the others. PQpipelineSync() writes at once: libpq 15 has no way to
 * gather the questions of one turn, each with its Sync, in one write.
 */
static void lane_asked(struct pg_lane *lane, const struct question *q, bool sent)
{
    if (lane->answers.asked.count == 0)
        lane->answers.oldest_since = loop_now(lane->pg->loop);
    ring_put(&lane->answers.asked, q);
    lane->use.busy_with += q->single;
    if (!sent || !PQpipelineSync(lane->conn) || !lane_flush(lane))
        lane_break(lane, PQerrorMessage(lane->conn));
}

void lane_send(struct pg_lane *lane, const struct question *q, const struct pg_args *args)
{
    if (lane_doubt(lane)) {
        ring_put(&lane->answers.asked, q);
        lane->use.busy_with += q->single;
        return;
    }
    const struct pg_statement *s = q->statement;
    lane_asked(lane, q,
               lane->pg->one_session || s->once
                   ? PQsendQueryParams(lane->conn, s->sql, args->count, s->args, args->values, args->lengths, binary, 1)
                   : PQsendQueryPrepared(lane->conn, s->name, args->count, args->values, args->lengths, binary, 1));
}

static void ignore_answer(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    (void)status;
    PQclear(res);
}

/* The channel is a name of our own. */
void lane_listen_to(struct pg_lane *lane, const char *channel)
{
    /* Its answer has no columns to check. */
    struct question q = { .answer = ignore_answer, .asked_us = clock_us() };
    char sql[sizeof "listen " + PG_CHANNEL_SIZE];

    snprintf(sql, sizeof sql, "listen %s", channel);
    lane_asked(lane, &q, !lane->broken && PQsendQueryParams(lane->conn, sql, 0, NULL, NULL, NULL, NULL, 1));
}

void lane_listen(struct pg_lane *lane)
{
    lane->use.listens = true;
    lane_listen_to(lane, PG_ASK_CHANNEL);
    if (lane->pg->hears_replies)
        lane_listen_to(lane, lane->pg->reply_channel);
}

/* ---- receiving */

static void take_notifications(struct pg_lane *lane)
{
    PGnotify *n;

    while (!lane->broken && (n = PQnotifies(lane->conn)) != NULL) {
        lane->pg->events->notified(lane->pg->owner, n->relname, n->extra, n->be_pid);
        PQfreemem(n);
    }
}

static void lane_read(struct pg_lane *lane)
{
    /*
     * libpq reads what its buffer holds. Where an answer is half here and the
     * rest is in the socket, to go on is cheaper than a turn of the loop.
     * Bounded, as other lanes and clients wait.
     */
    for (int reads = 0; reads < READS_IN_A_TURN; reads++) {
        uint64_t before = lane->answers.answered;
        int there = 0;
        if (!PQconsumeInput(lane->conn) || !lane_give_answers(lane)) {
            lane_fail(lane, PQerrorMessage(lane->conn));
            return;
        }
        if (lane->broken || lane->answers.asked.count == 0 || lane->answers.answered != before)
            break;
        if (ioctl(PQsocket(lane->conn), FIONREAD, &there) != 0 || there == 0)
            break;
    }
    if (lane->use.listens)
        take_notifications(lane);
    else if (!lane->broken && lane->answers.asked.count == 0)
        (void)PQisBusy(lane->conn);     /* has libpq look at what came: the server may say that it is going */
}

/* ---- connecting */

static void lane_is_up(struct pg_lane *lane)
{
    lane->state = LANE_UP;
    lane->tried = true;
    lane->connecting.pause = 0;
    lane->answers.status = DB_OK;
    timer_set(lane->timer, WATCHDOG_MS);
    if (lane->away.said)
        log_info(NULL, "database lane %u connected again", lane->number);
    lane->away.complained = lane->away.said = false;
    lane->pg->lane_events->up(lane);
}

static void on_notice(void *arg, const PGresult *res)
{
    struct pg_lane *lane = arg;

    /*
     * libpq's own receiver writes to standard error, which may be the client. What ends an idle
     * connection comes here, too.
     */
    lane_note_parting(lane, res);
    /* It comes between the rows of the oldest question and its Sync, which is its commit. */
    if (sql_is_unconfirmed(PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION))) {
        lane->answers.unconfirmed = true;
        log_warning(NULL, "database lane %u: a wait for the synchronous standby was cancelled, the commit is not"
                          " confirmed", lane->number);
    }
    log_debug(NULL, "database notice=%s", log_text(span_str(PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY))).s);
}

/*
 * connect_timeout is for blocking clients: libpq leaves it to us. It is that of
 * the whole attempt: what fails it is the first host that says nothing, and the
 * next attempt begins with another one.
 */
static uint64_t connect_deadline(PGconn *conn)
{
    uint64_t timeout = 10000;
    PQconninfoOption *options = PQconninfo(conn);

    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (o->val != NULL && strcmp(o->keyword, "connect_timeout") == 0 && atoi(o->val) > 0)
            timeout = (uint64_t)atoi(o->val) * 1000;
    PQconninfoFree(options);
    return timeout;
}

static void lane_setup(struct pg_lane *lane)
{
    lane->state = LANE_SETUP;
    if (!setup_send(lane) || !lane_flush(lane))
        lane_fail(lane, PQerrorMessage(lane->conn));
}

void lane_try_next_host(struct pg_lane *lane)
{
    lane->connecting.first_host++;
}

static void lane_read_setup(struct pg_lane *lane)
{
    char why[PG_WHY_SIZE];
    int version;

    switch (setup_read(lane, why, &version)) {
    case SETUP_UNDER_WAY:
        break;
    case SETUP_DONE:
        lane_is_up(lane);
        break;
    case SETUP_FAILED:
        lane_fail(lane, why);
        break;
    case SETUP_OTHER_HOST:
        lane_try_next_host(lane);
        lane_fail(lane, why);
        break;
    case SETUP_HOPELESS:
        lane_give_up(lane, why);
        break;
    case SETUP_WRONG_SCHEMA:
        lane->pg->lane_events->wrong_version(lane->pg, version);
        lane_give_up(lane, schema_advice(version));
        break;
    }
}

static void lane_poll(struct pg_lane *lane)
{
    /* libpq may close its socket here and open another under the same number. */
    watch_free(&lane->watch);
    pg_use_reserve(lane->pg);
    PostgresPollingStatusType poll = PQconnectPoll(lane->conn);
    pg_reserve(lane->pg);
    /* It was let in, so somebody is there; whether more is said may be up to others, as behind a pooler. */
    if (lane == lane->pg->control && PQserverVersion(lane->conn) != 0)
        lane->pg->hang.heard_us = clock_us();
    if (poll == PGRES_POLLING_FAILED) {
        lane_fail(lane, PQerrorMessage(lane->conn));
        return;
    }
    lane->watch = watch_new(lane->pg->loop, PQsocket(lane->conn), lane_event, lane);
    if (poll == PGRES_POLLING_OK)
        lane_setup(lane);
    else
        watch_set(lane->watch, poll == PGRES_POLLING_READING ? LOOP_READ : LOOP_WRITE);
}

static void lane_connect(struct pg_lane *lane)
{
    char *error = NULL, *resolved = names_resolve(lane->pg->server.conninfo, &error);
    lane->state = LANE_CONNECT;
    lane->connecting.timed_out = false;
    if (resolved == NULL) {
        lane_fail(lane, error);
        mem_drop(&error);
        return;
    }
    /* Not before: a name of several addresses is as many hosts. */
    char *conninfo = conninfo_rotate(resolved, lane->connecting.first_host);
    secret_wipe(resolved, strlen(resolved));
    mem_free(resolved);
    lane_use_reserve(lane);
    pg_use_reserve(lane->pg);
    lane->conn = connect_start(conninfo);
    pg_reserve(lane->pg);
    secret_wipe(conninfo, strlen(conninfo));
    mem_free(conninfo);
    ASSERT(lane->conn != NULL);     /* out of memory */
    if (PQstatus(lane->conn) == CONNECTION_BAD) {
        lane_fail(lane, PQerrorMessage(lane->conn));
        return;
    }
    PQsetNoticeReceiver(lane->conn, on_notice, lane);
    timer_set(lane->timer, connect_deadline(lane->conn));
    lane->watch = watch_new(lane->pg->loop, PQsocket(lane->conn), lane_event, lane);
    watch_set(lane->watch, LOOP_WRITE);
}

/* ---- the loop's side */

void lane_event(void *arg, int fd, unsigned events)
{
    struct pg_lane *lane = arg;

    (void)fd;
    if (lane->broken)
        return;     /* the timer is about to give it up */
    switch (lane->state) {
    case LANE_REST:
        break;
    case LANE_CONNECT:
        lane_poll(lane);
        break;
    case LANE_SETUP:
    case LANE_UP:
        if ((events & LOOP_WRITE) != 0 && !lane_flush(lane))
            lane_fail(lane, PQerrorMessage(lane->conn));
        else if (lane->state == LANE_SETUP)
            lane_read_setup(lane);
        else
            lane_read(lane);
        break;
    }
}

void lane_unused(struct pg_lane *lane)
{
    if (lane->state == LANE_UP && !lane->broken)
        timer_set(lane->timer, 0);
}

/* Nobody loses anything. */
static void close_unused(struct pg_lane *lane)
{
    lane->generation++;
    lane->tried = lane->use.asked_for = false;
    mem_free(lane->answers.asked.at);
    lane->answers.asked = (struct question_ring){ 0 };
    close_connection(lane);
}

/*
 * Where one lane gets no answer, others may not get one either. What nobody uses
 * is connected anew before it is used: then whoever waited in vain does not wait
 * as long a second time.
 */
static void distrust_idle_lanes(struct pg *pg)
{
    for (size_t i = 0; i < pg->count; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        if (lane->state == LANE_UP && lane->answers.asked.count == 0 && lane->use.bound == 0)
            lane_break(lane, "the database did not answer another lane");
    }
}

uint64_t lane_waits(const struct pg_lane *lane)
{
    return lane->answers.asked.count > 0 ? loop_now(lane->pg->loop) - lane->answers.oldest_since : 0;
}

static void lane_timer(void *arg)
{
    struct pg_lane *lane = arg;

    if (lane->broken) {
        lane_fail(lane, lane->away.why);
        return;
    }
    switch (lane->state) {
    case LANE_REST:
        lane_connect(lane);
        break;
    case LANE_CONNECT:
    case LANE_SETUP:
        lane->connecting.timed_out = true;
        lane_try_next_host(lane);
        lane_fail(lane, "no answer within connect_timeout");
        break;
    case LANE_UP:
        if (lane->on_demand && lane->use.bound == 0 && lane->answers.asked.count == 0) {
            close_unused(lane);
            break;
        }
        if (lane_doubt(lane))
            break;
        /* The database ends a statement that takes too long; if it does not even do that, it hangs. */
        uint64_t waited = lane_waits(lane);
        if (waited > lane->statement_timeout + ANSWER_GRACE_MS) {
            distrust_idle_lanes(lane->pg);
            lane_fail(lane, "no answer from the database, even after its statement_timeout");
            break;
        }
        if (waited >= OVERDUE_MS)
            lane->pg->lane_events->overdue(lane);
        if (!lane->broken)
            timer_set(lane->timer, lane->answers.asked.count > 0 ? WATCHDOG_ASKED_MS : WATCHDOG_MS);
        break;
    }
}

void lane_start(struct pg_lane *lane)
{
    lane->generation = 1;
    lane->timer = timer_new(lane->pg->loop, lane_timer, lane);
    /* From the loop, so that nobody hears of it before pg_new() returned. */
    timer_set(lane->timer, 0);
}

void lane_end(struct pg_lane *lane)
{
    if (lane->state != LANE_REST)
        lane_lose(lane, lane->pg->wants.retry);
    lane_use_reserve(lane);
    timer_free(&lane->timer);
}
