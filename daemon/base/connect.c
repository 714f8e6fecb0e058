/*
 * connect.c - a blocking connection, begun with libpq's asynchronous calls: only
 * these let us say who hears the server before it has spoken.
 *
 * Never prints. What connect_timeout means, for each of several hosts, stays
 * libpq's to know.
 */
#include "daemon/base/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/mem.h"

enum { QUICK_MS = 1000 };

void connect_no_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

/* False if the time is over. What is wrong with the socket libpq finds itself. */
static bool wait_for(PGconn *conn, PostgresPollingStatusType what, uint64_t end)
{
    struct pollfd p = { .fd = PQsocket(conn), .events = what == PGRES_POLLING_READING ? POLLIN : POLLOUT };
    int n;

    do {
        int left = clock_left(end);
        n = left > 0 ? poll(&p, 1, left) : 0;
    } while (n < 0 && errno == EINTR);
    return n != 0;
}

PGconn *connect_start(const char *conninfo)
{
    /* What is in conninfo replaces what stands before it. */
    static const char *const words[] = { "target_session_attrs", "dbname", "client_encoding", NULL };
    const char *const values[] = { "primary", conninfo, "UTF8", NULL };

    return PQconnectStartParams(words, values, 1);
}

static PGconn *finish(PGconn *conn, PQnoticeReceiver notice, void *arg)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    uint64_t end = clock_ms() + QUICK_MS;

    ASSERT(conn != NULL);       /* out of memory */
    PQsetNoticeReceiver(conn, notice, arg);
    if (PQstatus(conn) == CONNECTION_BAD)
        return conn;
    while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
        if (!wait_for(conn, next, end)) {
            /* A host is slow, or says nothing: once more, as PQconnectdb() does it; the receiver stays. */
            PQreset(conn);
            break;
        }
        next = PQconnectPoll(conn);
    }
    return conn;
}

PGconn *connect_quietly(const char *conninfo, PQnoticeReceiver notice, void *arg)
{
    static const char *const words[] = { "dbname", "client_encoding", NULL };
    const char *const values[] = { conninfo, "UTF8", NULL };

    return finish(PQconnectStartParams(words, values, 1), notice, arg);
}

PGconn *connect_to_primary(const char *conninfo, PQnoticeReceiver notice, void *arg)
{
    return finish(connect_start(conninfo), notice, arg);
}

PGconn *connect_past_standbys(const char *conninfo, PQnoticeReceiver notice, void *arg)
{
    /* What stands behind conninfo replaces what is in it. */
    static const char *const words[] = { "dbname", "client_encoding", "target_session_attrs", NULL };
    const char *const values[] = { conninfo, "UTF8", "primary", NULL };

    return finish(PQconnectStartParams(words, values, 1), notice, arg);
}

bool connect_wants_writable(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    bool writable = false;

    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (strcmp(o->keyword, "target_session_attrs") == 0 && o->val != NULL)
            writable = strcmp(o->val, "read-write") == 0 || strcmp(o->val, "primary") == 0;
    PQconninfoFree(options);
    return writable;
}
