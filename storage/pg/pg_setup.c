/*
 * pg_setup.c - what a new connection of a lane is asked before anybody else
 * asks anything: one batch, one Sync.
 */
#include <stdio.h>

#include "daemon/base/mem.h"
#include "daemon/base/schema_version.h"
#include "daemon/base/sql.h"
#include "storage/pg/pg_lane.h"
#include "storage/pg/schema.h"

enum { SETUP_SETTINGS, SETUP_MARK, SETUP_VERSION, SETUP_PREPARE };

/*
 * Room at both ends. libpq reads no more at once than its buffer has room for:
 * 16 KB, until a message comes that does not fit. One that does not comes here,
 * and from then on an answer of many messages takes a few reads (in place of
 * one, and one FIONREAD, for each). And the allocator of the database's process
 * gives its memory back to the system whenever a hundred KB are free, so after
 * each answer with messages, until it has once freed a large block: pages that
 * come anew took a quarter of the time of such a statement.
 */
static const char make_room[] = "select repeat(' ', 100000), length(repeat(' ', 1000000))";

/*
 * It stays as long as the connection does: where it is there already, the
 * connection was another lane's. A pooler that gives each client its own
 * removes it in between (DISCARD ALL). Names of prepared statements do not tell:
 * PgBouncer has those of each client apart.
 */
static const char mark[] = "select pg_catalog.current_setting('postern.lane', true), "
                           "pg_catalog.set_config('postern.lane', 'marked', false)";

/* What many sessions will need: see make_room, and each statement is parsed once. */
static bool send_preparation(struct pg_lane *lane)
{
    bool maildrops = lane->pg->set == PG_MAILDROPS, sent = true;
    int from = maildrops ? 0 : PG_DELIVERIES_START + 1;
    int end = maildrops ? PG_MAILDROPS_END : PG_STATEMENTS;

    if (maildrops)
        sent = PQsendQueryParams(lane->conn, make_room, 0, NULL, NULL, NULL, NULL, 0);
    for (int i = from; sent && i < end; i++) {
        const struct statement *s = &pg_statement_table[i];
        if (i != PG_COLLATION)
            sent = PQsendPrepare(lane->conn, s->name, s->sql, s->arg_count, s->args);
    }
    return sent;
}

void lane_setup(struct pg_lane *lane)
{
    char *settings = sql_settings(SQL_SERVES, lane->pg->statement_timeout, lane->pg->wants_writable);
    bool sent = PQsetnonblocking(lane->conn, 1) == 0 && PQenterPipelineMode(lane->conn) == 1;

    lane->state = LANE_SETUP;
    lane->setup_step = SETUP_SETTINGS;
    sent = sent && PQsendQueryParams(lane->conn, settings, 0, NULL, NULL, NULL, NULL, 0) &&
           PQsendQueryParams(lane->conn, mark, 0, NULL, NULL, NULL, NULL, 0) &&
           PQsendQueryParams(lane->conn, SCHEMA_VERSION_QUERY, 0, NULL, NULL, NULL, NULL, 1);
    if (!lane->pg->one_session)
        sent = sent && send_preparation(lane);
    mem_free(settings);
    if (!sent || !PQpipelineSync(lane->conn) || !lane_flush(lane))
        lane_fail(lane, PQerrorMessage(lane->conn));
}

static void wrong_schema(struct pg_lane *lane, int version)
{
    pg_found_version(lane->pg, version);
    lane_give_up(lane, schema_advice(version));
}

/* An error of the server's; with what is to be done, where its words do not tell. */
static void refused(struct pg_lane *lane, const PGresult *res)
{
    char why[PG_WHY_SIZE];
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    snprintf(why, sizeof why, "%s%s", message != NULL ? message : PQresultErrorMessage(res),
             sql_advice(PQresultErrorField(res, PG_DIAG_SQLSTATE), PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION)));
    lane_fail(lane, why);
}

/* One result of the set-up; false if the lane was given up. */
static bool setup_result(struct pg_lane *lane, PGresult *res)
{
    bool going_on = true;

    int version = lane->setup_step == SETUP_VERSION ? schema_version_of(res) : -1;

    if (PQresultStatus(res) == PGRES_FATAL_ERROR && version < 0) {
        going_on = false;
        refused(lane, res);
    } else if (lane->setup_step == SETUP_MARK && PQntuples(res) == 1 && PQgetlength(res, 0, 0) > 0) {
        going_on = false;
        lane_give_up(lane, SQL_POOLER_ADVICE);
    } else if (lane->setup_step == SETUP_VERSION && version != schema_wanted()) {
        going_on = false;
        wrong_schema(lane, version > 0 ? version : 0);
    }
    lane->setup_step++;
    PQclear(res);
    return going_on;
}

void lane_read_setup(struct pg_lane *lane)
{
    bool ended = false;

    if (!PQconsumeInput(lane->conn)) {
        lane_fail(lane, PQerrorMessage(lane->conn));
        return;
    }
    while (!PQisBusy(lane->conn)) {
        PGresult *res = PQgetResult(lane->conn);
        if (res == NULL) {
            if (ended)
                break;
            ended = true;
            continue;
        }
        ended = false;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            lane_is_up(lane);
            return;
        }
        if (!setup_result(lane, res))
            return;
    }
}
