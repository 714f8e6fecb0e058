/*
 * admin_fixture.h - for tests against a real PostgreSQL: a superuser's connection.
 *
 * POSTERN_TEST_DB is its connection string, as key=value, to a database with the
 * schema; without it the tests are skipped, and say so.
 */
#ifndef TESTS_ADMIN_FIXTURE_H
#define TESTS_ADMIN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

extern PGconn *admin;
extern char *auth_conninfo;     /* an auth helper's: of the role postern_auth */

/* Says that nothing was tested, where there is no database. */
bool without_database(const char *name);
/* -1 after a message. */
int admin_connect(void);
void admin_close(void);

/* Each fails the test if its statement does. */
void admin_do(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One row. */
int64_t admin_number(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One value, or "" where there is none, good until the next call; a and b, which may be NULL, are $1 and $2. */
const char *admin_value(const char *sql, const char *a, const char *b);
const char *admin_value_on(PGconn *conn, const char *sql, const char *a, const char *b);
/* Some statements, as they are. */
void admin_run(const char *sql);

#endif
