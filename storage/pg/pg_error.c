/*
 * pg_error.c - what an error means for the asker, and that a flood of them does
 * not become a flood of lines.
 */
#include "storage/pg/pg_error.h"

#include "daemon/base/log.h"
#include "daemon/base/metrics.h"
#include "daemon/base/sql.h"
#include "daemon/net/loop.h"

enum { ERRORS_LOGGED = 5, ERRORS_WINDOW_MS = 10000 };

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
    if (strcmp(state, "PN401") == 0)    /* the ticket is none any more: the next login has another */
        return DB_RETRY;
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
    if (now - pg->errors.since > ERRORS_WINDOW_MS) {
        if (pg->errors.count > ERRORS_LOGGED)
            log_error(NULL, "database: %u further errors were not logged", pg->errors.count - ERRORS_LOGGED);
        pg->errors.since = now;
        pg->errors.count = 0;
    }
    const char *function = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
    enum db_status status = sql_cannot_load(function) ? DB_RETRY : meaning(state);
    metric_add(METRIC_SQL_ERRORS, 1);
    if (++pg->errors.count <= ERRORS_LOGGED)
        log_error(NULL, "database statement=%s result=%s sqlstate=%s message=%s%s", what, db_status_name(status), state,
                  log_text(span_str(message)).s, sql_advice(state, function));
    return status;
}
