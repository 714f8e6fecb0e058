/*
 * pooler.c - tells a transaction pooler from a session pooler and from
 * PostgreSQL itself, by which process of the database answers.
 *
 * PostgreSQL tells a client at its start the number of the process that serves
 * it. A pooler makes a number up. Where the two differ, a second connection
 * holds a process in a transaction: it must not be the one that serves the
 * first, and the first must go on with its own. Pools that hand out the process
 * that was given back last fail by the former, those that take turns by the
 * latter, and a pool of one by letting the first wait.
 */
#include "storage/pg/pooler.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/connect.h"

enum { PATIENCE_MS = 3000, ROUNDS = 8 };
#define REFUSED_BY_POOLER "08P01"   /* protocol_violation: PgBouncer says so of all that it does not allow */

/* The first result; NULL if there is none in time. */
static PGresult *wait_result(PGconn *conn)
{
    PGresult *first = NULL, *next;

    for (;;) {
        while (!PQisBusy(conn)) {
            if ((next = PQgetResult(conn)) == NULL)
                return first;
            if (first == NULL)
                first = next;
            else
                PQclear(next);
        }
        struct pollfd p = { PQsocket(conn), POLLIN, 0 };
        if (poll(&p, 1, PATIENCE_MS) <= 0) {
            PQclear(first);
            return NULL;
        }
        (void)PQconsumeInput(conn);     /* a connection that failed is not busy, and its last result is an error */
    }
}

/* 1 done; 0 the server refused; -1 no answer. */
static int run(PGconn *conn, const char *sql)
{
    PGresult *res = PQsendQuery(conn, sql) ? wait_result(conn) : NULL;
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    int done = PQresultStatus(res) == PGRES_COMMAND_OK                  ? 1
               : state != NULL && strcmp(state, REFUSED_BY_POOLER) == 0 ? 0
                                                                        : -1;

    PQclear(res);
    return done;
}

/* The number in an answer; 0: none came. */
static int number(PGresult *res)
{
    int n = PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 ? atoi(PQgetvalue(res, 0, 0)) : 0;

    PQclear(res);
    return n;
}

static const char who[] = "select pg_catalog.pg_backend_pid()";

static int ask(PGconn *conn)
{
    return PQsendQuery(conn, who) ? number(wait_result(conn)) : 0;
}

enum finding { OWN, SHARED, UNKNOWN };

/* `other` is in a transaction: does `conn` go on with the process that it had? */
static enum finding look(PGconn *conn, PGconn *other, int had)
{
    int held = ask(other);

    if (held == 0)
        return UNKNOWN;
    if (held == had)
        return SHARED;
    if (!PQsendQuery(conn, who))
        return UNKNOWN;
    int now = number(wait_result(conn));
    if (now != 0)
        return now == had ? OWN : SHARED;
    /* It waits. If it gets its answer as soon as the other one lets go, then it has waited for that. */
    if (run(other, "rollback") != 1)
        return UNKNOWN;
    return number(wait_result(conn)) != 0 ? SHARED : UNKNOWN;
}

bool pooler_shares(PGconn *conn, const char *conninfo)
{
    enum finding found = OWN;
    int had = ask(conn);

    if (had == 0 || had == PQbackendPID(conn))
        return false;
    PGconn *other = connect_quietly(conninfo, connect_no_notice, NULL);
    for (int i = 0; i < ROUNDS && found == OWN && PQstatus(other) == CONNECTION_OK; i++) {
        /* Where each statement has another connection, a transaction is refused. */
        int begun = run(other, "begin");

        found = begun == 1 ? look(conn, other, had) : begun == 0 ? SHARED : UNKNOWN;
        if (PQtransactionStatus(other) == PQTRANS_INTRANS)
            run(other, "rollback");
    }
    PQfinish(other);
    return found == SHARED;
}
