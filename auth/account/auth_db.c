/*
 * auth_db.c - the helper's connection to the database.
 *
 * Owns the connection, its return after it was lost, and what is complained
 * of. Must never wait longer than it was told, and never take "could not ask"
 * for an answer.
 */
#include "auth/account/auth_db.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/connect.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/primary.h"
#include "daemon/base/schema_version.h"
#include "daemon/base/secret.h"
#include "daemon/base/sql.h"

enum {
    RECONNECT_MS = 1000,        /* least time between two attempts */
    LOOK_MS = 500,              /* while it waits: whether others have found another server */
    COMPLAIN_MS = 60000,        /* and between two lines about it */
    COMPLAINT_SIZE = 1024,
};

struct auth_db {
    char *conninfo;
    int schema_version;
    int64_t statement_ms;
    char *first;                /* statements that a new connection begins with */
    const struct auth_db_statement *statements;
    size_t count;
    bool prepares;
    PGconn *conn;               /* NULL: not connected. Else the schema was right and what is to be prepared is */
    uint64_t connection;        /* how often it was connected */
    uint64_t tried, complained; /* when, 0 for never or no longer true */
    bool broken;                /* why there is no connection: an operator has to act */
    bool other_host;            /* or: it is no primary, or none that is believed; another host of the list may be */
    struct primary_id primary;  /* the server of conn */
};

static void disconnect(struct auth_db *db)
{
    if (db->conn != NULL)
        PQfinish(db->conn);
    db->conn = NULL;
    db->primary = (struct primary_id){ 0 };
}

/* True also as long as it is not known which server it is. */
static bool is_believed(const struct auth_db *db)
{
    return db->primary.timeline == 0 || primary_is(db->primary);
}

/* Its server is not believed any more (primary.h): then the connection is closed, and the next one is made at once. */
static bool is_doubted(struct auth_db *db)
{
    if (db->conn == NULL || is_believed(db))
        return false;
    log_info(NULL, "left the database server: " PRIMARY_REPLACED);
    disconnect(db);
    db->tried = 0;
    return true;
}

/* A database that is away for an hour is a line a minute, not one for each login. */
static void complain(struct auth_db *db, const char *what, const char *why)
{
    struct span line = { why, strcspn(why, "\n") };

    if (db->complained != 0 && clock_ms() - db->complained < COMPLAIN_MS) {
        log_debug(NULL, "%s: %s", what, log_text(line).s);
        return;
    }
    db->complained = clock_ms();
    log_error(NULL, "%s: %s", what, log_text(line).s);
}

/*
 * The last result of what was sent; NULL if the connection is lost or too much
 * time went by, and then it is closed. libpq itself would wait for ever.
 */
static PGresult *wait_result_until(struct auth_db *db, int sent, uint64_t deadline)
{
    PGresult *last = NULL, *next;

    while (sent) {
        while (!PQisBusy(db->conn)) {
            next = PQgetResult(db->conn);
            if (next == NULL)
                return last;
            PQclear(last);
            last = next;
        }
        struct pollfd p = { PQsocket(db->conn), POLLIN, 0 };
        const int left = clock_left(deadline);
        int n = poll(&p, 1, left < LOOK_MS ? left : LOOK_MS);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 && left > LOOK_MS && is_believed(db))
            continue;
        if (n == 0 && !is_believed(db)) {
            complain(db, "could not ask the database", PRIMARY_REPLACED);
            break;
        }
        if (n == 0) {
            complain(db, "could not ask the database", "no answer in time");
            break;
        }
        if (n < 0 || !PQconsumeInput(db->conn))
            sent = 0;
    }
    if (!sent)
        complain(db, "could not ask the database", PQerrorMessage(db->conn));
    PQclear(last);
    disconnect(db);
    return NULL;
}

static PGresult *wait_result(struct auth_db *db, int sent)
{
    return wait_result_until(db, sent, clock_ms() + (uint64_t)db->statement_ms);
}

static const char *sqlstate(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return state != NULL ? state : "";
}

/* What waiting does not mend: a schema, function, column or right that is not there. */
static bool is_broken(const char *state)
{
    return strncmp(state, "42", 2) == 0 || strncmp(state, "3F", 2) == 0;
}

/*
 * An error of this statement alone, after which our own connection is as good as
 * before, so that the next login is none the worse: of a server behind ours, where
 * the tables of another program are foreign ones; or of what a function of a
 * provider did or raised.
 */
static bool is_its_own(const char *state)
{
    static const char *const classes[] = { "08", "HV", "21", "22", "23", "38", "39", "P0" };

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    return false;
}

enum auth_db_state auth_db_failed(struct auth_db *db, const char *what, const PGresult *result)
{
    const char *message = PQresultErrorMessage(result);
    const char *advice = sql_advice(sqlstate(result), PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION));
    char text[COMPLAINT_SIZE];

    db->broken = is_broken(sqlstate(result));
    snprintf(text, sizeof text, "%.*s%s", (int)strcspn(message, "\n"), message, advice);
    complain(db, what, text);
    if (!is_its_own(sqlstate(result)) || PQstatus(db->conn) != CONNECTION_OK)
        disconnect(db);
    return db->broken ? AUTH_DB_BROKEN : AUTH_DB_AWAY;
}

bool auth_db_is_no_text(const PGresult *result)
{
    return strncmp(sqlstate(result), "22", 2) == 0;
}

/* Why this server is not to be used; NULL: it is. */
static const char *other_host(struct auth_db *db, const char *server)
{
    enum primary_met met;

    if (server[0] == '\0')
        return SQL_STANDBY_ADVICE;
    if (!primary_read(server, &db->primary))
        return "postern.server_identity() does not name a server and its timeline";
    met = primary_meet(db->primary, clock_ms());
    return met == PRIMARY_OLD || met == PRIMARY_FOREIGN ? primary_advice(met) : NULL;
}

/*
 * The settings that we need, where no statement of ours outlives those who wait for it; and the
 * schema is of the right version.
 */
static enum auth_db_state check_schema(struct auth_db *db)
{
    enum auth_db_state state = AUTH_DB_UP;

    PGresult *result = wait_result(db, PQsendQuery(db->conn, db->first));
    if (result == NULL)
        return AUTH_DB_AWAY;
    int version = schema_version_of(result);
    if (version < 0) {
        state = auth_db_failed(db, "could not read the version of the database schema", result);
    } else if (version != db->schema_version) {
        complain(db, "wrong version of the database schema",
                 schema_version_advice(version, db->schema_version));
        disconnect(db);
        db->broken = true;
        state = AUTH_DB_BROKEN;
    } else {
        const char *why = other_host(db, schema_version_server(result));
        if (why != NULL) {
            complain(db, "could not use the database", why);
            disconnect(db);
            db->other_host = true;
            state = AUTH_DB_AWAY;
        }
    }
    PQclear(result);
    return state;
}

static enum auth_db_state prepare(struct auth_db *db, const struct auth_db_statement *statement)
{
    enum auth_db_state state = AUTH_DB_UP;

    PGresult *result =
        wait_result(db, PQsendPrepare(db->conn, statement->name, statement->sql, statement->params, NULL));
    if (result == NULL)
        return AUTH_DB_AWAY;
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        state = auth_db_failed(db, "could not prepare a statement", result);
    PQclear(result);
    return state;
}

static void on_notice(void *arg, const PGresult *res)
{
    (void)arg;
    log_debug(NULL, "notice of the database: %s",
              log_text(span_str(PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY))).s);
}

typedef PGconn *connecting(const char *conninfo, PQnoticeReceiver notice, void *arg);

static enum auth_db_state set_up(struct auth_db *db, connecting *connect, const char *conninfo)
{
    db->other_host = false;
    db->conn = connect(conninfo, on_notice, NULL);
    if (PQstatus(db->conn) != CONNECTION_OK) {
        complain(db, "could not connect to the database", PQerrorMessage(db->conn));
        disconnect(db);
        return AUTH_DB_AWAY;
    }
    enum auth_db_state state = check_schema(db);

    for (size_t i = 0; state == AUTH_DB_UP && db->prepares && i < db->count; i++)
        state = prepare(db, &db->statements[i]);
    return state;
}

/* libpq takes the first one that is a primary: so each is the first one, by turns, each address of a name, too. */
static enum auth_db_state set_up_other(struct auth_db *db)
{
    enum auth_db_state state = AUTH_DB_AWAY;
    char *error = NULL, *all = conninfo_resolved(db->conninfo, conninfo_look_up, &error);

    if (all == NULL)
        all = mem_str(db->conninfo);
    mem_drop(&error);
    for (size_t i = 0; db->other_host && i < conninfo_hosts(all); i++) {
        char *conninfo = conninfo_rotate(all, i);

        state = set_up(db, connect_past_standbys, conninfo);
        secret_wipe(conninfo, strlen(conninfo));
        mem_free(conninfo);
    }
    secret_wipe(all, strlen(all));
    mem_free(all);
    return state;
}

enum auth_db_state auth_db_connect(struct auth_db *db)
{
    if (!is_doubted(db) && db->conn != NULL)
        return AUTH_DB_UP;
    if (db->tried != 0 && clock_ms() - db->tried < RECONNECT_MS)
        return db->broken ? AUTH_DB_BROKEN : AUTH_DB_AWAY;
    db->broken = false;
    enum auth_db_state state = set_up(db, connect_to_primary, db->conninfo);
    if (db->other_host)
        state = set_up_other(db);
    db->tried = clock_ms();
    if (state == AUTH_DB_UP) {
        db->connection++;
        if (db->complained != 0)
            log_info(NULL, "reconnected to the database");
        db->complained = 0;
    }
    return state;
}

bool auth_db_is_up(const struct auth_db *db)
{
    return db->conn != NULL;
}

uint64_t auth_db_connection(const struct auth_db *db)
{
    return db->connection;
}

struct auth_db *auth_db_new(const char *conninfo, int schema_version, int64_t statement_ms,
                            enum sql_commit commit, const struct auth_db_statement *statements, size_t count,
                            bool prepares)
{
    struct auth_db *db = mem_zalloc(sizeof *db);

    db->conninfo = mem_str(conninfo);
    db->schema_version = schema_version;
    db->statement_ms = statement_ms;
    db->statements = statements;
    db->count = count;
    db->prepares = prepares;
    char *settings = sql_settings(&(struct sql_wants){
        .program = SQL_SERVES, .commit = commit, .statement_timeout = (uint64_t)statement_ms,
        .may_be_read_only = connect_wants_writable(conninfo),
    });
    struct buf first = BUF_EMPTY;
    buf_addf(&first, "%s; " SCHEMA_VERSION_AND_SERVER_QUERY, settings);
    db->first = mem_strn(buf_span(&first).at, buf_span(&first).len);
    buf_free(&first);
    mem_free(settings);
    return db;
}

void auth_db_free(struct auth_db **db)
{
    struct auth_db *d = *db;

    if (d == NULL)
        return;
    *db = NULL;
    disconnect(d);
    /* It may hold a password of the database's. */
    secret_wipe(d->conninfo, strlen(d->conninfo));
    mem_free(d->conninfo);
    mem_free(d->first);
    mem_free(d);
}

static const char *text_of(const struct auth_db *db, const char *name)
{
    for (size_t i = 0;; i++) {
        ASSERT(i < db->count);
        if (strcmp(db->statements[i].name, name) == 0)
            return db->statements[i].sql;
    }
}

/*
 * Each is a transaction of its own, and one that gave way to another is rolled
 * back: it is asked again, some times.
 */
static PGresult *ask(struct auth_db *db, const char *name, const char *sql, int n, const char *const *values,
                     int64_t ms)
{
    PGresult *result = NULL;

    if (name != NULL && !db->prepares) {
        sql = text_of(db, name);
        name = NULL;
    }
    for (int tries = 0; !is_doubted(db) && db->conn != NULL && tries < SQL_TRIES; tries++) {
        PQclear(result);
        const uint64_t deadline = clock_ms() + (uint64_t)ms;
        result = wait_result_until(db, name != NULL ? PQsendQueryPrepared(db->conn, name, n, values, NULL, NULL, 0)
                                                    : PQsendQueryParams(db->conn, sql, n, NULL, values, NULL, NULL, 0),
                                   deadline);
        if (!sql_is_conflict(PQresultErrorField(result, PG_DIAG_SQLSTATE)))
            break;
    }
    /* What a server has said that another one has replaced meanwhile is not relied on. */
    if (is_doubted(db)) {
        PQclear(result);
        return NULL;
    }
    if (db->conn != NULL)
        primary_heard(db->primary, clock_ms());
    return result;
}

PGresult *auth_db_prepared(struct auth_db *db, const char *name, int n, const char *const *values)
{
    return ask(db, name, NULL, n, values, db->statement_ms);
}

PGresult *auth_db_query(struct auth_db *db, const char *sql, int n, const char *const *values)
{
    return ask(db, NULL, sql, n, values, db->statement_ms);
}

PGresult *auth_db_prepared_within(struct auth_db *db, const char *name, int n, const char *const *values,
                                  int64_t ms, bool *late_r)
{
    const uint64_t asked = clock_ms();
    PGresult *result = ask(db, name, NULL, n, values, ms);

    *late_r = result == NULL && clock_ms() - asked >= (uint64_t)ms;
    return result;
}

void auth_db_array_add(struct buf *array, const char *element)
{
    buf_add_str(array, buf_left(array) == 0 ? "{" : ",");
    if (element == NULL) {
        buf_add_str(array, "NULL");
        return;
    }
    buf_add_str(array, "\"");
    for (; *element != '\0'; element++) {
        if (*element == '"' || *element == '\\')
            buf_add_str(array, "\\");
        buf_add(array, element, 1);
    }
    buf_add_str(array, "\"");
}

const char *auth_db_array(struct buf *array)
{
    buf_add_str(array, buf_left(array) == 0 ? "{}" : "}");
    return buf_span(array).at;
}
