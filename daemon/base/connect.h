/*
 * connect.h - a blocking connection to the database that prints nothing.
 */
#ifndef POSTERN_BASE_CONNECT_H
#define POSTERN_BASE_CONNECT_H

#include <libpq-fe.h>
#include <stdbool.h>

/*
 * PQconnectStart() for what serves: a standby knows less than its primary, and holds no locks, so of a
 * list of hosts it takes the primary (target_session_attrs) where the words do not say something else.
 */
PGconn *connect_start(const char *conninfo);

/*
 * As PQconnectdb(), with the encoding UTF-8; but `notice` (with arg) gets what
 * the server says while it lets us in, which libpq would print on standard
 * error: that the collation of the database is of another version, say. To
 * PQfinish() in any case.
 */
PGconn *connect_quietly(const char *conninfo, PQnoticeReceiver notice, void *arg);
/* The same for what serves: see connect_start(). */
PGconn *connect_to_primary(const char *conninfo, PQnoticeReceiver notice, void *arg);
/* The same, whatever the words say: where they led to a standby. */
PGconn *connect_past_standbys(const char *conninfo, PQnoticeReceiver notice, void *arg);

/* Do the words ask for a server that can be written to? False for what libpq cannot read. */
bool connect_wants_writable(const char *conninfo);

/* For callers that need no notification. */
void connect_no_notice(void *arg, const PGresult *res);

#endif
