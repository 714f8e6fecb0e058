/*
 * schema.c - does the database have the schema that this program needs?
 *
 * Never changes anything: posternctl makes and upgrades it.
 */
#include "storage/pg/schema.h"

#include <libpq-fe.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/base/connect.h"
#include "daemon/base/mem.h"
#include "daemon/base/schema_version.h"
#include "daemon/base/sql.h"
#include "storage/pg/pooler.h"

int schema_wanted(void)
{
    return schema_version;
}

const char *schema_advice(int found)
{
    return schema_version_advice(found, schema_wanted());
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
    PGresult *res = PQexec(conn, SCHEMA_VERSION_QUERY);
    int found = schema_version_of(res);
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
