/*
 * test_sql.c - what every connection asks for, against a database whose role
 * says otherwise; and what errors mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "daemon/base/mem.h"
#include "daemon/base/sql.h"

/* All that the list has, and two that are left alone; as a user would write them, in the connection string. */
static const char hostile[] =
    "-c default_transaction_isolation=serializable -c default_transaction_deferrable=on -c default_transaction_read_only=on"
    " -c idle_session_timeout=99s -c idle_in_transaction_session_timeout=99s -c lock_timeout=99s -c statement_timeout=99s"
    " -c search_path=nowhere -c standard_conforming_strings=off -c bytea_output=escape -c DateStyle=German -c IntervalStyle=iso_8601"
    " -c TimeZone=Asia/Kathmandu -c extra_float_digits=0 -c array_nulls=off -c synchronous_commit=off -c client_encoding=LATIN1"
    " -c client_min_messages=error -c row_security=off -c transform_null_equals=on -c plpgsql.extra_errors=all -c jit=on"
    " -c plan_cache_mode=force_custom_plan -c enable_bitmapscan=off -c enable_hashagg=off -c enable_hashjoin=off"
    " -c enable_incremental_sort=off -c enable_indexonlyscan=off -c enable_indexscan=off -c enable_material=off"
    " -c enable_memoize=off -c enable_mergejoin=off -c enable_nestloop=off -c enable_partition_pruning=off"
    " -c enable_seqscan=off -c enable_sort=off -c enable_tidscan=off";

static PGconn *connect_as(const char *options)
{
    const char *const words[] = { "dbname", "options", NULL }, *const values[] = { getenv("POSTERN_TEST_DB"), options, NULL };
    PGconn *db = PQconnectdbParams(words, values, 1);

    assert_int_equal(PQstatus(db), CONNECTION_OK);
    return db;
}

static ExecStatusType ask_with(PGconn *db, const struct sql_wants *wants)
{
    char *text = sql_settings(wants);
    PGresult *res = PQexec(db, text);
    ExecStatusType status = PQresultStatus(res);

    PQclear(res);
    mem_free(text);
    return status;
}

static ExecStatusType ask_for(PGconn *db, enum sql_program program, uint64_t timeout, bool may_be_read_only)
{
    return ask_with(db, &(struct sql_wants){
        .program = program, .statement_timeout = timeout, .may_be_read_only = may_be_read_only });
}

static void expect(PGconn *db, const char *name, const char *value)
{
    PGresult *res = PQexecParams(db, "select pg_catalog.current_setting($1)", 1, NULL, &name, NULL, NULL, 0);

    assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
    if (strcmp(PQgetvalue(res, 0, 0), value) != 0)
        print_error("%s is %s, not %s\n", name, PQgetvalue(res, 0, 0), value);
    assert_string_equal(PQgetvalue(res, 0, 0), value);
    PQclear(res);
}

static void expect_common(PGconn *db)
{
    static const char *const wanted[][2] = {
        { "default_transaction_isolation", "read committed" }, { "default_transaction_deferrable", "off" },
        { "idle_session_timeout", "0" }, { "lock_timeout", "0" }, { "search_path", "pg_catalog, pg_temp" },
        { "standard_conforming_strings", "on" }, { "bytea_output", "hex" }, { "DateStyle", "ISO, MDY" },
        { "IntervalStyle", "postgres" }, { "TimeZone", "UTC" }, { "extra_float_digits", "1" }, { "array_nulls", "on" },
        { "client_encoding", "UTF8" }, { "session_replication_role", "origin" },
        { "client_min_messages", "notice" }, { "row_security", "on" }, { "transform_null_equals", "off" },
        { "plpgsql.extra_errors", "none" }, { "jit", "off" }, { "plan_cache_mode", "auto" }, { "enable_bitmapscan", "on" },
        { "enable_hashagg", "on" }, { "enable_hashjoin", "on" }, { "enable_incremental_sort", "on" },
        { "enable_indexonlyscan", "on" }, { "enable_indexscan", "on" }, { "enable_material", "on" },
        { "enable_memoize", "on" }, { "enable_mergejoin", "on" }, { "enable_nestloop", "on" },
        { "enable_partition_pruning", "on" }, { "enable_seqscan", "on" }, { "enable_sort", "on" }, { "enable_tidscan", "on" },
    };

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        expect(db, wanted[i][0], wanted[i][1]);
}

static void test_serves(void **state)
{
    (void)state;
    PGconn *db = connect_as(hostile);

    assert_int_equal(ask_for(db, SQL_SERVES, 1500, false), PGRES_TUPLES_OK);
    expect_common(db);
    expect(db, "statement_timeout", "1500ms");
    expect(db, "idle_in_transaction_session_timeout", "5min");
    expect(db, "default_transaction_read_only", "off");
    expect(db, "synchronous_commit", "on");
    expect(db, "postern.synchronous_commit", "on");
    PQfinish(db);
}

/* What serves has what the option says, whatever the connection has. */
static void test_commit_of_what_serves(void **state)
{
    static const char *const words[] = { SQL_COMMIT_WORDS };

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        PGconn *db = connect_as(hostile);
        struct sql_wants wants = { .program = SQL_SERVES, .commit = (enum sql_commit)i };

        assert_int_equal(ask_with(db, &wants), PGRES_TUPLES_OK);
        expect(db, "synchronous_commit", words[i]);
        expect(db, "postern.synchronous_commit", words[i]);
        PQfinish(db);
    }
}

static void test_tool(void **state)
{
    (void)state;
    PGconn *db = connect_as(hostile);

    assert_int_equal(ask_for(db, SQL_TOOL, 0, true), PGRES_TUPLES_OK);
    expect_common(db);
    expect(db, "statement_timeout", "0");
    expect(db, "idle_in_transaction_session_timeout", "0");
    expect(db, "client_connection_check_interval", "2s");
    expect(db, "default_transaction_read_only", "on");      /* left, as another server is wanted then */
    expect(db, "synchronous_commit", "on");
    PQfinish(db);
}

/* Weaker and stronger forms that an operator may have chosen stay. */
static void test_synchronous_commit(void **state)
{
    static const char *const kept[] = { "local", "remote_write", "remote_apply", "on" };
    char options[64];

    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        snprintf(options, sizeof options, "-c synchronous_commit=%s", kept[i]);
        PGconn *db = connect_as(options);
        assert_int_equal(ask_for(db, SQL_TOOL, 0, false), PGRES_TUPLES_OK);
        expect(db, "synchronous_commit", kept[i]);
        PQfinish(db);
    }
}

/* What only a superuser may set is set back by one, and refused by others; where it is right nobody notices. */
static void test_of_superusers(void **state)
{
    (void)state;
    PGconn *db = connect_as("-c session_replication_role=replica");
    assert_int_equal(ask_for(db, SQL_TOOL, 0, false), PGRES_TUPLES_OK);
    expect(db, "session_replication_role", "origin");
    PQclear(PQexec(db, "set session_replication_role = replica; set role postern_mail"));
    assert_int_equal(ask_for(db, SQL_SERVES, 0, false), PGRES_FATAL_ERROR);
    PQclear(PQexec(db, "reset role; set session_replication_role = origin; set role postern_mail"));
    assert_int_equal(ask_for(db, SQL_SERVES, 0, false), PGRES_TUPLES_OK);
    PQfinish(db);
}

static void test_meanings(void **state)
{
    (void)state;
    assert_true(sql_is_conflict("40001") && sql_is_conflict("40P01"));
    /* 40003: nobody knows whether it was committed. */
    assert_false(sql_is_conflict(NULL) || sql_is_conflict("") || sql_is_conflict("40003") || sql_is_conflict("40000"));
    assert_true(sql_ends_connection("57P01") && sql_ends_connection("57P05") && sql_ends_connection("25P04"));
    assert_false(sql_ends_connection(NULL) || sql_ends_connection("57014"));
    assert_true(sql_is_unconfirmed("SyncRepWaitForLSN"));
    assert_false(sql_is_unconfirmed(NULL) || sql_is_unconfirmed("") || sql_is_unconfirmed("errfinish"));
    assert_string_equal(sql_advice(NULL, NULL), "");
    assert_string_equal(sql_advice("40001", "exec_stmt"), "");
    assert_non_null(strstr(sql_advice("58P01", "internal_load_library"), "restart PostgreSQL"));
    assert_non_null(strstr(sql_advice("XX000", "incompatible_module_error"), "restart PostgreSQL"));
    assert_non_null(strstr(sql_advice("26000", NULL), "pooler"));
    assert_non_null(strstr(sql_advice("42P05", NULL), "pooler"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serves),
        cmocka_unit_test(test_commit_of_what_serves),
        cmocka_unit_test(test_tool),
        cmocka_unit_test(test_synchronous_commit),
        cmocka_unit_test(test_of_superusers),
        cmocka_unit_test(test_meanings),
    };
    if (getenv("POSTERN_TEST_DB") == NULL) {
        print_message("[  SKIPPED ] test_sql: POSTERN_TEST_DB is not set, NOTHING WAS TESTED\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
