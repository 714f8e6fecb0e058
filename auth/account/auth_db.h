/*
 * auth_db.h - the helper's connection to the database, as postern_auth: one,
 * blocking, with a bound on every wait; it comes back after it was lost.
 */
#ifndef POSTERN_AUTH_AUTH_DB_H
#define POSTERN_AUTH_AUTH_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "daemon/base/sql.h"

struct auth_db;
struct buf;

enum auth_db_state {
    AUTH_DB_UP = 1,
    AUTH_DB_AWAY = -1,          /* it may come back by itself */
    AUTH_DB_BROKEN = -2,        /* an operator has to act: wrong schema, a function or a right that is missing */
};

struct auth_db_statement {
    const char *name, *sql;
    int params;
};

/*
 * conninfo is copied; statements are not. They are prepared on each new connection,
 * unless that is for one login only (prepares is false). A statement, and the wait for
 * one, ends after statement_ms. Nothing is connected yet.
 */
struct auth_db *auth_db_new(const char *conninfo, int schema_version, int64_t statement_ms,
                            enum sql_commit commit, const struct auth_db_statement *statements, size_t count,
                            bool prepares);
void auth_db_free(struct auth_db **db);

/*
 * Blocks, where there is no connection: at most once a second, until then what came of it the last
 * time. What is wrong is logged.
 */
enum auth_db_state auth_db_connect(struct auth_db *db);
bool auth_db_is_up(const struct auth_db *db);
/* Which one it is, or was last: counts from 1. */
uint64_t auth_db_connection(const struct auth_db *db);

/*
 * Each blocks for one statement; values are texts. The result, which may be an
 * error, is the caller's to PQclear(). NULL: the connection was not there, or
 * was lost, or the time was over (logged); then it is closed.
 */
/* One of `statements`. */
PGresult *auth_db_prepared(struct auth_db *db, const char *name, int n, const char *const *values);
PGresult *auth_db_query(struct auth_db *db, const char *sql, int n, const char *const *values);
/* As auth_db_prepared(), but it ends after `ms`, and then *late_r is set. */
PGresult *auth_db_prepared_within(struct auth_db *db, const char *name, int n, const char *const *values,
                                  int64_t ms, bool *late_r);

/*
 * A value that is an array, as text: begins in an empty buffer; after the last
 * element auth_db_array() ends it, which is good until the buffer changes. NULL is a null.
 */
void auth_db_array_add(struct buf *array, const char *element);
const char *auth_db_array(struct buf *array);

/*
 * For a result that is an error: logged, and the connection is closed, so that
 * the next one is a whole one; not for an error that says nothing of it: of a
 * server that ours asked, or raised by a function.
 */
enum auth_db_state auth_db_failed(struct auth_db *db, const char *what, const PGresult *result);
/*
 * The error says of a value that no text of this database can be it (class 22:
 * a character that its encoding has not). What a stranger types must not cost
 * the connection.
 */
bool auth_db_is_no_text(const PGresult *result);

#endif
