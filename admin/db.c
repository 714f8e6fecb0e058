/*
 * db.c - the blocking connection of posternctl, and its questions.
 *
 * Must never put a value into the text of a statement.
 */
#include "admin/db.h"

#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/progress.h"
#include "daemon/base/connect.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/mem.h"
#include "daemon/base/schema_version.h"
#include "daemon/base/sql.h"
#include "storage/pg/collation.h"
#include "storage/pg/pg_row.h"
#include "storage/pg/schema.h"

/* What is asked may take as long as it takes. */
static enum ctl_exit ask_for_settings(struct ctl *c, bool may_be_read_only)
{
    char *sql = sql_settings(&(struct sql_wants){ .program = SQL_TOOL, .may_be_read_only = may_be_read_only });
    PGresult *res = PQexec(c->db, sql);
    enum ctl_exit end = PQresultStatus(res) == PGRES_TUPLES_OK ? CTL_DONE : db_failed(c, "set up the connection", res);

    PQclear(res);
    mem_free(sql);
    return end;
}

static void on_notice(void *arg, const PGresult *res)
{
    struct ctl *c = arg;

    c->unconfirmed = c->unconfirmed || sql_is_unconfirmed(PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION));
}

/* False, and said, if what was done is lost when the standby takes over. */
static bool is_confirmed(struct ctl *c, const char *what)
{
    if (c->unconfirmed)
        ctl_error(db_end(c), "could not %s for certain: a wait for the synchronous standby was cancelled", what);
    return !c->unconfirmed;
}

/*
 * "posternctl anna": who of several that share a role it is, for the audit and for those who look who is connected.
 * As root that is whom sudo says.
 */
static void program_name(char *out, size_t size)
{
    const char *sudo = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    const struct passwd *pw = sudo == NULL ? getpwuid(getuid()) : NULL;
    const char *name = sudo != NULL ? sudo : pw != NULL ? pw->pw_name : "";

    snprintf(out, size, "posternctl%s%s", name[0] != '\0' ? " " : "", name);
}

enum ctl_exit db_connect(struct ctl *c)
{
    char program[64];
    const char *role = c->opt[OPT_AS] != NULL ? c->opt[OPT_AS] : c->storage.database_admin;
    enum ctl_exit end;
    program_name(program, sizeof program);
    char *error = NULL, *conninfo = conninfo_merge(c->storage.database, role, program, &error);

    if (conninfo == NULL) {
        end = ctl_error(CTL_FAILED, "invalid connection string: %s", error);
        mem_drop(&error);
        return end;
    }
    bool may_be_read_only = connect_wants_writable(conninfo);
    c->db = connect_quietly(conninfo, on_notice, c);
    mem_free(conninfo);
    if (PQstatus(c->db) != CONNECTION_OK)
        return ctl_error(CTL_NO_DATABASE, "the database cannot be reached: %s", PQerrorMessage(c->db));
    if (PQserverVersion(c->db) < 150000)
        return ctl_error(CTL_FAILED, "the database is PostgreSQL %d, but 15 or later is required",
                         PQserverVersion(c->db) / 10000);
    return ask_for_settings(c, may_be_read_only);
}

void db_close(struct ctl *c)
{
    PQfinish(c->db);
    c->db = NULL;
}

char *db_collation(struct ctl *c)
{
    PGresult *res = PQexec(c->db, COLLATION_QUERY);
    char *text = NULL;

    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1) {
        const char *was = PQgetvalue(res, 0, 1), *is = PQgetvalue(res, 0, 2);
        char *name = PQescapeIdentifier(c->db, PQdb(c->db), strlen(PQdb(c->db)));
        struct buf line = BUF_EMPTY;

        buf_addf(&line, COLLATION_TEXT, PQdb(c->db), was, is, name != NULL ? name : "");
        text = mem_strn(buf_span(&line).at, buf_span(&line).len);
        buf_free(&line);
        PQfreemem(name);
    }
    PQclear(res);
    return text;
}

const char db_locks_advice[] =
    "anybody in this database can take advisory locks, which keeps owners out of their maildrops; mail is read and"
    " deleted with valid tickets only. A superuser changes that: select postern.protect()";

bool db_locks_are_ours(struct ctl *c, bool *ours_r)
{
    PGresult *res = db_ask(c, "see who can lock maildrops", "select postern.locks_are_ours()", &ARGS_NONE);

    *ours_r = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);
    return res != NULL;
}

static int args_next(struct args *a, const char *value, int format, size_t len)
{
    ASSERT(a->n < ARGS_MAX && len <= INT32_MAX);
    a->values[a->n] = value;
    a->formats[a->n] = format;
    a->lengths[a->n] = (int)len;
    return a->n++;
}

void args_text(struct args *a, const char *text) { args_next(a, text, 0, 0); }
void args_null(struct args *a) { args_next(a, NULL, 0, 0); }
void args_bool(struct args *a, bool b) { args_next(a, b ? "t" : "f", 0, 0); }

void args_int(struct args *a, int64_t n)
{
    int i = args_next(a, NULL, 0, 0);

    snprintf(a->numbers[i], sizeof a->numbers[i], "%lld", (long long)n);
    a->values[i] = a->numbers[i];
}

void args_mailbox(struct args *a, const struct mailbox_ref *mailbox)
{
    args_int(a, mailbox->number);
}

void args_binary(struct args *a, const struct buf *b)
{
    struct span s = buf_span(b);

    args_next(a, s.at, 1, s.len);
}

enum ctl_exit db_end(const struct ctl *c)
{
    return PQstatus(c->db) == CONNECTION_OK ? CTL_FAILED : CTL_NO_DATABASE;
}

enum ctl_exit db_failed(struct ctl *c, const char *what, const PGresult *res)
{
    const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *text = res != NULL ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (text == NULL)
        return ctl_error(db_end(c), "could not %s: %s", what, PQerrorMessage(c->db));
    const char *advice = sql_advice(state, PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION));
    if (strncmp(state, "PN", 2) == 0)
        return ctl_error(db_end(c), "%s", text);
    /* No such function for tenants, or no right to one. */
    if (c->tenant != NULL && (strcmp(state, "42883") == 0 || strcmp(state, "42501") == 0))
        return ctl_error(db_end(c), "could not %s: that is for the operator of the host", what);
    return ctl_error(db_end(c), "could not %s: %s (SQLSTATE %s)%s", what, text, state, advice);
}

/* The next answer to what was sent, as PQgetResult(). */
static PGresult *next_answer(struct ctl *c, const char *what, struct progress *progress)
{
    while (progress->shown && PQisBusy(c->db)) {
        struct pollfd fd = { PQsocket(c->db), POLLIN, 0 };

        if (poll(&fd, 1, 1000) == 0)
            progress_wait(progress, what);
        else if (!PQconsumeInput(c->db))
            break;
    }
    return PQgetResult(c->db);
}

/* The same statement for whoever asks: to be freed, or NULL where it is `sql` itself. */
static char *sql_for_tenant(const struct ctl *c, const char *sql)
{
    static const char ours[] = "postern.", theirs[] = "postern_tenant.";
    struct buf text = BUF_EMPTY;
    const char *at;

    if (c->tenant == NULL)
        return NULL;
    for (; (at = strstr(sql, ours)) != NULL; sql = at + sizeof ours - 1) {
        buf_add(&text, sql, (size_t)(at - sql));
        buf_add(&text, theirs, sizeof theirs - 1);
    }
    buf_add(&text, sql, strlen(sql));
    char *copy = mem_strn(buf_span(&text).at, buf_span(&text).len);
    buf_free(&text);
    return copy;
}

bool db_send(struct ctl *c, const char *sql, const struct args *a, int format)
{
    char *other = sql_for_tenant(c, sql);
    bool sent = PQsendQueryParams(c->db, other != NULL ? other : sql, a->n, NULL, a->values, a->lengths, a->formats,
                                  format) == 1;

    mem_free(other);
    return sent;
}

/* The answer to one statement: the first error, or what it returned. */
static PGresult *answer(struct ctl *c, const char *what, const char *sql, const struct args *a, int format)
{
    struct progress progress;
    PGresult *res = NULL, *next;

    if (!db_send(c, sql, a, format))
        return PQmakeEmptyPGresult(c->db, PGRES_FATAL_ERROR);
    progress_start(&progress, "", 0);
    while ((next = next_answer(c, what, &progress)) != NULL) {
        if (res == NULL)
            res = next;
        else
            PQclear(next);
    }
    progress_clear(&progress);
    return res;
}

static PGresult *ask(struct ctl *c, const char *what, const char *sql, const struct args *a, int format)
{
    bool whole = PQtransactionStatus(c->db) == PQTRANS_IDLE;
    PGresult *res = answer(c, what, sql, a, format);

    /* A transaction of its own that gave way to another: nothing of it was done. */
    for (int tries = 1; whole && tries < SQL_TRIES && sql_is_conflict(PQresultErrorField(res, PG_DIAG_SQLSTATE));
         tries++) {
        PQclear(res);
        res = answer(c, what, sql, a, format);
    }
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        db_failed(c, what, res);
    else if (is_confirmed(c, what))
        return res;
    PQclear(res);
    return NULL;
}

int db_schema_version(struct ctl *c)
{
    PGresult *res = answer(c, "read the version of the schema", SCHEMA_VERSION_QUERY, &ARGS_NONE, 0);
    int version = schema_version_of(res);

    if (version < 0)
        db_failed(c, "read the version of the schema", res);
    PQclear(res);
    return version;
}

enum ctl_exit db_need_schema(struct ctl *c)
{
    int found = db_schema_version(c);
    const char *advice = found >= 0 ? schema_advice(found) : NULL;

    if (found < 0)
        return db_end(c);
    return advice == NULL ? CTL_DONE : ctl_error(CTL_WRONG_SCHEMA, "%s", advice);
}

static void cancel(struct ctl *c)
{
    PGcancel *cancel = PQgetCancel(c->db);
    char why[256];

    if (cancel != NULL && !PQcancel(cancel, why, sizeof why))
        ctl_error(CTL_FAILED, "could not cancel the question: %s", why);
    PQfreeCancel(cancel);
}

enum ctl_exit db_each(struct ctl *c, const char *what, const char *sql, const struct args *a, db_row *row, void *arg)
{
    enum ctl_exit end = CTL_DONE;
    struct progress progress;
    PGresult *res;

    if (!db_send(c, sql, a, 0) || !PQsetSingleRowMode(c->db))
        return db_failed(c, what, NULL);
    progress_start(&progress, "", 0);
    for (; (res = next_answer(c, what, &progress)) != NULL; PQclear(res)) {
        bool good = PQresultStatus(res) == PGRES_SINGLE_TUPLE || PQresultStatus(res) == PGRES_TUPLES_OK;

        progress_clear(&progress);
        if (end != CTL_DONE)
            continue;           /* what still comes of a question that failed or was cancelled */
        if (!good) {
            end = db_failed(c, what, res);
        } else if (!row(arg, res)) {
            end = CTL_FAILED;
            cancel(c);
        }
    }
    return end;
}

PGresult *db_ask(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    return ask(c, what, sql, a, 0);
}
PGresult *db_ask_binary(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    return ask(c, what, sql, a, 1);
}

enum ctl_exit db_call(struct ctl *c, const char *what, const char *sql, const struct args *a)
{
    PGresult *res = db_ask(c, what, sql, a);

    if (res == NULL)
        return db_end(c);
    PQclear(res);
    return CTL_DONE;
}

bool db_numbers(struct ctl *c, const char *what, const char *sql, const struct args *a, int n, int64_t numbers_r[])
{
    PGresult *res = db_ask_binary(c, what, sql, a);

    if (res == NULL)
        return false;
    for (int i = 0; i < n; i++)
        numbers_r[i] = db_int8(res, 0, i);
    PQclear(res);
    return true;
}

bool db_do(struct ctl *c, const char *what, const char *sql)
{
    PGresult *res = PQexec(c->db, sql);
    bool ok = PQresultStatus(res) == PGRES_COMMAND_OK;

    if (!ok)
        db_failed(c, what, res);
    PQclear(res);
    return ok && is_confirmed(c, what);
}

struct span db_bytes(const PGresult *res, int row, int col)
{
    return (struct span){ PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col) };
}

int64_t db_int8(const PGresult *res, int row, int col)
{
    int64_t n;

    ASSERT(pg_get_int8(res, row, col, &n));
    return n;
}

struct mailbox_ref db_mailbox(const PGresult *res, int row, int col)
{
    return (struct mailbox_ref){ .number = db_int8(res, row, col) };
}

int32_t db_int4(const PGresult *res, int row, int col)
{
    int32_t n;

    ASSERT(pg_get_int4(res, row, col, &n));
    return n;
}

int64_t db_time(const PGresult *res, int row, int col)
{
    int64_t n;

    ASSERT(pg_get_time(res, row, col, &n));
    return n;
}
