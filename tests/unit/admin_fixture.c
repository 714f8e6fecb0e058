/* admin_fixture.c - see admin_fixture.h. */
#include "tests/unit/admin_fixture.h"

#include <stdio.h>

#include "daemon/base/mem.h"

PGconn *admin;
char *auth_conninfo;

bool without_database(const char *name)
{
    if (getenv("POSTERN_TEST_DB") != NULL)
        return false;
    print_message("[  SKIPPED ] %s: POSTERN_TEST_DB is not set, NOTHING WAS TESTED\n", name);
    return true;
}

int admin_connect(void)
{
    char info[1024];

    snprintf(info, sizeof info, "%s options='-c role=postern_auth'", getenv("POSTERN_TEST_DB"));
    auth_conninfo = mem_str(info);
    admin = PQconnectdb(getenv("POSTERN_TEST_DB"));
    if (PQstatus(admin) != CONNECTION_OK) {
        print_error("%s\n", PQerrorMessage(admin));
        return -1;
    }
    admin_run("set client_min_messages = error");
    return 0;
}

void admin_close(void)
{
    PQfinish(admin);
    admin = NULL;
    mem_free(auth_conninfo);
    auth_conninfo = NULL;
}

static PGresult *checked(PGconn *conn, const char *sql, PGresult *res)
{
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK) {
        print_error("%s\n%s\n", sql, PQerrorMessage(conn));
        fail();
    }
    return res;
}

void admin_run(const char *sql)
{
    PQclear(checked(admin, sql, PQexec(admin, sql)));
}

void admin_do(const char *fmt, ...)
{
    char sql[2000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    admin_run(sql);
}

int64_t admin_number(const char *fmt, ...)
{
    char sql[2000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    PGresult *res = checked(admin, sql, PQexec(admin, sql));
    assert_int_equal(PQntuples(res), 1);
    int64_t v = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    return v;
}

const char *admin_value_on(PGconn *conn, const char *sql, const char *a, const char *b)
{
    static char value[1024];
    const char *values[] = { a, b };
    int params = (a != NULL) + (b != NULL);
    PGresult *res = checked(conn, sql, PQexecParams(conn, sql, params, NULL, values, NULL, NULL, 0));

    snprintf(value, sizeof value, "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
    return value;
}

const char *admin_value(const char *sql, const char *a, const char *b)
{
    return admin_value_on(admin, sql, a, b);
}
