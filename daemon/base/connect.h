/*
 * connect.h - a blocking connection to the database that prints nothing.
 */
#ifndef POSTERN_BASE_CONNECT_H
#define POSTERN_BASE_CONNECT_H

#include <libpq-fe.h>
#include <stdbool.h>

/*
 * As PQconnectdb(), with the encoding UTF-8; but `notice` (with arg) gets what
 * the server says while it lets us in, which libpq would print on standard
 * error: that the collation of the database is of another version, say. To
 * PQfinish() in any case.
 */
PGconn *connect_quietly(const char *conninfo, PQnoticeReceiver notice, void *arg);

/* Do the words ask for a server that can be written to? False for what libpq cannot read. */
bool connect_wants_writable(const char *conninfo);

/* For callers that need no notification. */
void connect_no_notice(void *arg, const PGresult *res);

#endif
