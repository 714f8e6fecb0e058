/*
 * pg_hang.c - tells a long statement from a server, or a network, that hangs.
 *
 * The answers of a lane come in order, so behind a statement that waits for a
 * row no cheap question tells anything. It is asked on another lane that is idle
 * or, where none is, by a new connection: an answer to anything that was asked
 * since says that the server lives, and then the statement has its time. What is
 * asked reads no table, so a disk that is slow does not look like a hang.
 *
 * One process of the server that was stopped looks like a long statement. That is
 * left to statement_timeout: to end its connection earlier would also end the
 * sessions whose neighbour only waits.
 */
#include "storage/pg/pg_hang.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/net/loop.h"
#include "storage/pg/pg_away.h"
#include "storage/pg/pg_lane.h"

enum {
    ANSWER_MS = 5000,       /* for the cheap question */
    AGAIN_MS = 5000,        /* behind its answer, while a statement goes on */
    STALE_MS = 3000,        /* without a look: what is known is from before, or this process has stood still */
};

static const Oid alive_columns[] = { PG_INT4 };
static const struct pg_statement alive = {
    .name = "ALIVE", .sql = "select 1", .columns = alive_columns, .column_count = 1, .apart = true, .once = true,
};

/* That it was answered is noted where answers are (pg_answer.c). */
static void answered(void *arg, enum db_status status, PGresult *res)
{
    (void)arg;
    (void)status;
    PQclear(res);
}

static bool is_idle(const struct pg_lane *lane)
{
    return lane->state == LANE_UP && !lane->broken && lane->answers.asked.count == 0 && !lane->on_demand;
}

static bool is_let_in(const struct pg_lane *lane)
{
    return (lane->state == LANE_CONNECT || lane->state == LANE_SETUP) && PQserverVersion(lane->conn) != 0;
}

static void ask(struct pg *pg, const struct pg_lane *overdue)
{
    struct pg_lane *control = pg->control;

    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++)
        if (is_idle(&pg->lanes[i])) {
            const struct question q = { .answer = answered, .statement = &alive, .asked_us = clock_us() };
            lane_send(&pg->lanes[i], &q, &PG_ARGS_EMPTY);
            return;
        }
    if (control->state != LANE_REST || control->use.asked_for) {
        /* One is on its way: what it finds will do, or has found: a pooler lets it in, and has no server for it. */
        if (is_let_in(control))
            hang_heard(pg);
        return;
    }
    control->connecting.first_host = overdue->connecting.first_host;
    control->use.asked_for = true;
    if (control->timer == NULL)
        lane_start(control);
    else
        timer_set(control->timer, 0);
}

static void give_up(struct pg *pg)
{
    log_error(NULL, "the database answers nothing any more, on no connection: all of them are given up");
    for (size_t i = 0; i < pg->count + PG_MORE_LANES; i++) {
        struct pg_lane *lane = &pg->lanes[i];
        if (lane->state != LANE_UP || lane->broken)
            continue;
        lane_try_next_host(lane);
        lane_break(lane, lane->answers.asked.count > 0 ? "the database does not answer"
                                                       : "the database did not answer another lane");
    }
}

void hang_heard(struct pg *pg)
{
    pg->hang.heard_us = clock_us();
}

void hang_look(struct pg_lane *lane)
{
    struct pg_hang *hang = &lane->pg->hang;
    const uint64_t now = loop_now(lane->pg->loop);
    const bool stale = now - hang->looked > STALE_MS;

    hang->looked = now;
    if (stale)
        hang->since = 0;
    if (hang->since != 0 && hang->heard_us >= hang->since_us) {
        hang->since = 0;
        hang->again = now + AGAIN_MS;
    }
    if (hang->since == 0 && (stale || now >= hang->again)) {
        hang->since = now;
        hang->since_us = clock_us();
        ask(lane->pg, lane);
    } else if (hang->since != 0 && now - hang->since >= ANSWER_MS) {
        hang->since = 0;
        give_up(lane->pg);
    }
}
