/*
 * test_pg_error.c - what an error means that libpq made by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "daemon/net/loop.h"
#include "storage/pg/pg_error.h"

/* No memory for an answer: it has no SQLSTATE, and is over in a moment; no operator has to look. */
static void test_libpq(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct pg pg;
    memset(&pg, 0, sizeof pg);
    pg.loop = loop;
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);

    assert_non_null(res);
    assert_null(PQresultErrorField(res, PG_DIAG_SQLSTATE));
    assert_int_equal(pg_error(&pg, res, "FETCH"), DB_RETRY);
    PQclear(res);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libpq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
