/*
 * schema_version.c - which version of the schema a database has.
 */
#include "daemon/base/schema_version.h"

#include <endian.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/num.h"

/* No such schema, function or table. */
static bool is_missing(const char *sqlstate)
{
    return sqlstate != NULL &&
           (strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42883") == 0 || strcmp(sqlstate, "42P01") == 0);
}

int schema_version_of(const PGresult *res)
{
    uint64_t text;
    uint32_t binary;

    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return is_missing(PQresultErrorField(res, PG_DIAG_SQLSTATE)) ? 0 : -1;
    if (PQntuples(res) != 1 || PQnfields(res) < 1)
        return -1;
    if (PQgetisnull(res, 0, 0))         /* the table is empty */
        return 0;
    if (PQfformat(res, 0) == 0)
        return num_parse(span_str(PQgetvalue(res, 0, 0)), INT_MAX, &text) == 1 ? (int)text : -1;
    if (PQgetlength(res, 0, 0) != sizeof binary)
        return -1;
    memcpy(&binary, PQgetvalue(res, 0, 0), sizeof binary);
    binary = be32toh(binary);
    return binary <= INT_MAX ? (int)binary : -1;
}

const char *schema_version_server(const PGresult *res)
{
    return PQnfields(res) == 2 ? PQgetvalue(res, 0, 1) : "";
}

const char *schema_version_advice(int found, int wanted)
{
    static char text[200];

    if (found == wanted)
        return NULL;
    if (found == 0)
        snprintf(text, sizeof text, "the database has no Postern schema: create it with `posternctl schema init`");
    else if (found < wanted)
        snprintf(text, sizeof text,
                 "the database schema has version %d, this release needs %d: run `posternctl schema upgrade`",
                 found, wanted);
    else
        snprintf(text, sizeof text,
                 "the database schema has version %d, this release knows only %d: install the release of"
                 " Postern that `posternctl schema status` names, on every host",
                 found, wanted);
    return text;
}
