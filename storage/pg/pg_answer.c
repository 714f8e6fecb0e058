/*
 * pg_answer.c - the answers of a lane, in the order of its questions.
 *
 * A question is answered when its Sync is, not when its rows are there: only
 * then is the transaction committed.
 */
#include "storage/pg/pg_answer.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/net/loop.h"
#include "storage/pg/pg_away.h"
#include "storage/pg/pg_error.h"
#include "storage/pg/pg_run.h"
#include "storage/pg/question_ring.h"

static bool has_declared_columns(const PGresult *res, const struct pg_statement *s)
{
    if (PQnfields(res) != s->column_count)
        return false;
    for (int i = 0; i < s->column_count; i++)
        if (PQftype(res, i) != s->columns[i] || PQfformat(res, i) != 1)
            return false;
    return true;
}

/* What came before the Sync of the oldest question; an error later than the rows (at commit) counts. */
static void keep_result(struct pg_lane *lane, PGresult *res, ExecStatusType kind)
{
    const struct question *q = &lane->answers.asked.at[lane->answers.asked.first];
    const struct pg_statement *s = q->statement;
    const char *name = s != NULL ? s->name : "LISTEN";

    PQclear(lane->answers.res);
    lane->answers.res = NULL;
    if (lane->answers.status != DB_OK) {
        PQclear(res);
        return;
    }
    if (kind == PGRES_TUPLES_OK && s != NULL && has_declared_columns(res, s)) {
        lane->answers.res = res;
        return;
    }
    if (kind == PGRES_COMMAND_OK && (s == NULL || s->column_count == 0)) {
        lane->answers.res = res;
        return;
    }
    if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK) {
        log_error(NULL, "database statement=%s result=bug: the columns are not those that this release expects", name);
        lane->answers.status = DB_BUG;
    } else {
        const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        lane->answers.status = pg_error(lane->pg, res, name);
        lane_note_parting(lane, res);
        snprintf(lane->answers.sqlstate, sizeof lane->answers.sqlstate, "%s", state != NULL ? state : "");
    }
    PQclear(res);
}

static void give_answer(struct pg_lane *lane)
{
    struct question q = ring_take(&lane->answers.asked);
    PGresult *res = lane->answers.res;
    enum db_status status = lane->answers.status;

    lane->use.busy_with -= q.single;
    lane->answers.answered++;
    memcpy(lane->pg->told.sqlstate, lane->answers.sqlstate, sizeof lane->answers.sqlstate);
    lane->answers.sqlstate[0] = '\0';
    lane->pg->told.unconfirmed = lane->answers.unconfirmed;
    lane->answers.unconfirmed = false;
    lane->answers.res = NULL;
    lane->answers.status = DB_OK;
    lane->answers.oldest_since = loop_now(lane->pg->loop);
    if (status == DB_OK && res == NULL)
        status = DB_BUG;
    /* It was made a standby, or was told not to write: another server is what was asked for. */
    bool read_only = lane->pg->server.wants_writable && strcmp(lane->pg->told.sqlstate, "25006") == 0;
    pg_note_run(lane, &q);
    if (!primary_is(lane->primary)) {
        /* Nobody relies on what a server says that another one has replaced meanwhile. */
        (void)lane_doubt(lane);
        PQclear(res);
        lane->pg->told.sqlstate[0] = '\0';
        lane->pg->told.unconfirmed = false;
        q.answer(q.arg, DB_LOST, NULL);
        return;
    }
    if (q.asked_us > lane->pg->hang.heard_us)
        lane->pg->hang.heard_us = q.asked_us;
    primary_heard(lane->primary, loop_now(lane->pg->loop));
    q.answer(q.arg, status, res);
    if (read_only)
        lane_break(lane, "the database has become read-only");
}

bool lane_give_answers(struct pg_lane *lane)
{
    bool ended = false;     /* the results of one statement end with a NULL; two of them in a row: nothing is there */

    while (lane->answers.asked.count > 0 && !lane->broken && !PQisBusy(lane->conn)) {
        PGresult *res = PQgetResult(lane->conn);
        if (res == NULL) {
            if (ended)
                break;
            ended = true;
            continue;
        }
        ended = false;
        ExecStatusType kind = PQresultStatus(res);
        if (kind == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            give_answer(lane);
        } else {
            keep_result(lane, res, kind);
        }
    }
    return PQstatus(lane->conn) == CONNECTION_OK;
}
