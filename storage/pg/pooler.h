/*
 * pooler.h - is there a connection pooler between us and the database that
 * gives each transaction another connection?
 */
#ifndef POSTERN_STORAGE_POOLER_H
#define POSTERN_STORAGE_POOLER_H

#include <stdbool.h>

#include <libpq-fe.h>

/*
 * Blocking, a few seconds at most beside connect_timeout. conn: a connection
 * of conninfo that nothing was asked of; it is in the same state afterwards.
 * Where it cannot be told the answer is false.
 */
bool pooler_shares(PGconn *conn, const char *conninfo);

#endif
