/*
 * schema.c - does the database have the schema that this program needs?
 *
 * Never changes anything: posternctl makes and upgrades it.
 */
#include "storage/pg/schema.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/base/connect.h"
#include "daemon/base/mem.h"
#include "daemon/base/sql.h"
#include "storage/pg/pooler.h"

int schema_wanted(void)
{
    return schema_version;
}

const char *schema_advice(int found)
{
    static char text[200];

    if (found == schema_wanted())
        return NULL;
    if (found == 0)
        snprintf(text, sizeof text, "the database has no schema of Postern: make it with `posternctl schema init`");
    else if (found < schema_wanted())
        snprintf(text, sizeof text,
                 "the schema of the database has version %d, this program needs %d: run `posternctl schema upgrade`",
                 found, schema_wanted());
    else
        snprintf(text, sizeof text,
                 "the schema of the database has version %d, this program knows only %d: install the release of"
                 " Postern "
                 "that `posternctl schema status` names, on every host",
                 found, schema_wanted());
    return text;
}

/* The first line of what libpq says. */
static char *first_line(const char *before, const char *message)
{
    struct buf out = BUF_EMPTY;
    buf_add_str(&out, before);
    buf_add(&out, message, strcspn(message, "\n"));
    struct span all = buf_span(&out);
    char *text = mem_strn(all.at, all.len);
    buf_free(&out);
    return text;
}

/* The version that was found, 0 if there is no schema, -1 if it cannot be known. */
static int found_version(const PGresult *res)
{
    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 && PQnfields(res) == 1)
        return PQgetisnull(res, 0, 0) ? 0 : atoi(PQgetvalue(res, 0, 0));
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    return schema_is_missing(state) ? 0 : -1;
}

bool schema_is_missing(const char *sqlstate)
{
    /* no such schema, function or table */
    return sqlstate != NULL &&
           (strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42883") == 0 || strcmp(sqlstate, "42P01") == 0);
}

int schema_probe(const char *conninfo, char **text_r)
{
    PGconn *conn = connect_quietly(conninfo, connect_no_notice, NULL);
    if (PQstatus(conn) != CONNECTION_OK) {
        *text_r = first_line("the database cannot be reached: ", PQerrorMessage(conn));
        PQfinish(conn);
        return -1;
    }
    if (pooler_shares(conn, conninfo)) {
        *text_r = mem_str(SQL_POOLER_ADVICE);
        PQfinish(conn);
        return 0;
    }
    PGresult *res = PQexec(conn, "select postern.schema_version()");
    int found = found_version(res);
    int result;
    if (found >= 0) {
        const char *advice = schema_advice(found);
        result = advice == NULL;
        *text_r = mem_str(advice != NULL ? advice : "the schema is the right one");
    } else if (PQstatus(conn) != CONNECTION_OK) {
        result = -1;
        *text_r = first_line("the database cannot be reached: ", PQerrorMessage(conn));
    } else {
        const char *why = PQresultErrorMessage(res);
        result = 0;
        *text_r = first_line("the schema cannot be used: ", why[0] != '\0' ? why : "it does not tell its version");
    }
    PQclear(res);
    PQfinish(conn);
    return result;
}
