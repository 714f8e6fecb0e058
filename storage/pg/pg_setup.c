/*
 * pg_setup.c - what a new connection of a lane is asked before anybody else
 * asks anything: one batch, one Sync.
 */
#include "storage/pg/pg_setup.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/schema_version.h"
#include "daemon/base/sql.h"
#include "storage/pg/schema.h"

enum { STEP_SETTINGS, STEP_MARK, STEP_VERSION, STEP_SERVER, STEP_PREPARE };

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
                           "pg_catalog.set_config('postern.lane', 'marked', false), pg_catalog.pg_backend_pid()";

/* Null on a standby. What is known of one server's mailboxes does not hold on another one. */
static const char server[] = "select postern.server_identity()";

/* What many sessions will need: see make_room, and each statement is parsed once. */
static bool send_preparation(struct pg_lane *lane)
{
    const struct pg_statements *all = lane->pg->statements;
    bool sent = !all->long_answers || PQsendQueryParams(lane->conn, make_room, 0, NULL, NULL, NULL, NULL, 0);

    for (size_t i = 0; sent && i < all->count; i++) {
        const struct pg_statement *s = &all->at[i];
        if (!s->once)
            sent = PQsendPrepare(lane->conn, s->name, s->sql, s->arg_count, s->args);
    }
    for (size_t i = 0; sent && i < all->count; i++) {
        const struct pg_statement *s = &lane->pg->forms[i].statement;
        if (s->sql != NULL)
            sent = PQsendPrepare(lane->conn, s->name, s->sql, s->arg_count, s->args);
    }
    return sent;
}

bool setup_send(struct pg_lane *lane)
{
    char *settings = sql_settings(&(struct sql_wants){
        .program = SQL_SERVES, .commit = lane->pg->wants.commit, .statement_timeout = lane->statement_timeout,
        .may_be_read_only = lane->pg->server.wants_writable,
    });
    bool sent = PQsetnonblocking(lane->conn, 1) == 0 && PQenterPipelineMode(lane->conn) == 1;

    lane->connecting.setup_step = STEP_SETTINGS;
    sent = sent && PQsendQueryParams(lane->conn, settings, 0, NULL, NULL, NULL, NULL, 0) &&
           PQsendQueryParams(lane->conn, mark, 0, NULL, NULL, NULL, NULL, 0) &&
           PQsendQueryParams(lane->conn, SCHEMA_VERSION_QUERY, 0, NULL, NULL, NULL, NULL, 1) &&
           PQsendQueryParams(lane->conn, server, 0, NULL, NULL, NULL, NULL, 0);
    if (!lane->pg->one_session && lane != lane->pg->control)
        sent = sent && send_preparation(lane);
    mem_free(settings);
    return sent && PQpipelineSync(lane->conn);
}

/* An error of the server's; with what is to be done, where its words do not tell. */
static enum setup refused(const PGresult *res, char why[PG_WHY_SIZE])
{
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    snprintf(why, PG_WHY_SIZE, "%s%s", message != NULL ? message : PQresultErrorMessage(res),
             sql_advice(PQresultErrorField(res, PG_DIAG_SQLSTATE), PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION)));
    return SETUP_FAILED;
}

/* What one result of the set-up says. */
static enum setup setup_result(struct pg_lane *lane, unsigned step, const PGresult *res, char why[PG_WHY_SIZE],
                               int *version_r)
{
    int version = step == STEP_VERSION ? schema_version_of(res) : -1;

    if (PQresultStatus(res) == PGRES_FATAL_ERROR && version < 0)
        return refused(res, why);
    if (step == STEP_MARK && PQntuples(res) == 1 && PQgetlength(res, 0, 0) > 0) {
        snprintf(why, PG_WHY_SIZE, "%s", SQL_POOLER_ADVICE);
        return SETUP_HOPELESS;
    }
    if (step == STEP_MARK)
        lane->pid = PQntuples(res) == 1 && PQnfields(res) == 3 ? (int32_t)strtol(PQgetvalue(res, 0, 2), NULL, 10) : 0;
    if (step == STEP_VERSION && version != schema_wanted()) {
        *version_r = version > 0 ? version : 0;
        return SETUP_WRONG_SCHEMA;
    }
    if (step == STEP_SERVER && (PQntuples(res) != 1 || PQgetlength(res, 0, 0) == 0)) {
        snprintf(why, PG_WHY_SIZE, "%s", SQL_STANDBY_ADVICE);
        return SETUP_OTHER_HOST;
    }
    if (step == STEP_SERVER && !primary_read(PQgetvalue(res, 0, 0), &lane->primary)) {
        snprintf(why, PG_WHY_SIZE, "postern.server_identity() does not name a server and its timeline");
        return SETUP_FAILED;
    }
    if (step == STEP_SERVER)
        snprintf(lane->connecting.server, sizeof lane->connecting.server, "%s", PQgetvalue(res, 0, 0));
    return SETUP_UNDER_WAY;
}

/* All of it was answered: is it a server to be believed? */
static enum setup setup_ends(const struct pg_lane *lane, char why[PG_WHY_SIZE])
{
    const struct primary_id before = primary_now();
    const enum primary_met met = primary_meet(lane->primary, clock_ms());

    switch (met) {
    case PRIMARY_NEW:
        /* One line for all processes: the others find it known. */
        if (before.cluster == lane->primary.cluster)
            log_warning(NULL, "database: a server of timeline %u has taken over from one of timeline %u, which is not"
                              " believed any more", lane->primary.timeline, before.timeline);
        else
            log_warning(NULL, "database: the server belongs to another cluster than the one in use until now (%s)",
                        lane->connecting.server);
        return SETUP_DONE;
    case PRIMARY_GOOD:
        return SETUP_DONE;
    case PRIMARY_OLD:
    case PRIMARY_FOREIGN:
        break;
    }
    snprintf(why, PG_WHY_SIZE, "%s", primary_advice(met));
    return SETUP_OTHER_HOST;
}

enum setup setup_read(struct pg_lane *lane, char why[PG_WHY_SIZE], int *version_r)
{
    bool ended = false;

    if (!PQconsumeInput(lane->conn)) {
        snprintf(why, PG_WHY_SIZE, "%s", PQerrorMessage(lane->conn));
        return SETUP_FAILED;
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
        enum setup is = PQresultStatus(res) == PGRES_PIPELINE_SYNC
                            ? setup_ends(lane, why)
                            : setup_result(lane, lane->connecting.setup_step++, res, why, version_r);
        PQclear(res);
        if (is != SETUP_UNDER_WAY)
            return is;
    }
    return SETUP_UNDER_WAY;
}
