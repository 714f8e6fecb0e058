/*
 * Questions of many sessions in one statement, against a real database: what is
 * asked together, that each gets its own answer, and what happens when a group
 * fails, leaves somebody out, or is lost.
 */
#include "tests/unit/db_fixture.h"

#include <dlfcn.h>

#include "daemon/base/metrics.h"
#include "storage/pg/pg.h"
#include "storage/pg/pg_array.h"

/* Whoever passes 0 divides by it; 13 has no row in a group. Rows for each element of the array, none if it is null. */
enum { STATEMENT_DIVIDE, STATEMENT_LIST, STATEMENT_SLOW, STATEMENT_WRONG };
static const Oid divide_args[] = { PG_INT8, PG_TEXT, PG_BOOL }, divide_columns[] = { PG_INT8, PG_TEXT },
                 list_args[] = { PG_INT8, PG_INT8_ARRAY, PG_BYTEA }, list_columns[] = { PG_INT8, PG_INT8, PG_BYTEA };
static const struct pg_statement table[] = {
    { .name = "DIVIDE", .sql = "select 1000 / $1, $2", .args = divide_args, .arg_count = 3, .columns = divide_columns,
      .column_count = 2, .group_name = "DIVIDE_GROUP",
      .group_sql = "select u.n::integer, 1000 / u.v, u.t from unnest($1, $2, $3) with ordinality u(v, t, b, n)"
                   " where u.v <> 13 order by u.n" },
    { .name = "LIST", .sql = "select $1, e, $3 from unnest($2) e", .args = list_args, .arg_count = 3,
      .columns = list_columns, .column_count = 3, .group_name = "LIST_GROUP",
      .group_sql = "select o.n::integer, o.v, e.e, o.b"
                   " from (select u.n, u.v, u.b, u.c, sum(greatest(u.c, 0)) over (order by u.n) - greatest(u.c, 0) as at"
                   "         from unnest($1, $3, $4) with ordinality u(v, c, b, n)) o,"
                   " unnest($2[o.at + 1 : o.at + o.c]) with ordinality e(e, i) order by o.n, e.i" },
    { .name = "SLOW", .sql = "select 1000 / $1, $2 from (select count(*) from generate_series(1, 1000000)) g", .args = divide_args, .arg_count = 3,
      .columns = divide_columns, .column_count = 2 },
    { .name = "WRONG", .sql = "select 1000 / $1, $2", .args = divide_args, .arg_count = 3, .columns = divide_columns,
      .column_count = 2, .group_name = "WRONG_GROUP", .group_sql = "select n::bigint, v, t from unnest($1, $2, $3) with ordinality u(v, t, b, n)" },
};
static const struct pg_statements statements = { table, sizeof table / sizeof table[0], false };

static void nothing(void *owner)
{
    (void)owner;
}

static void no_schema(void *owner, const char *text)
{
    (void)owner;
    fail_msg("%s", text);
}

static const struct pg_events events = { .lost = nothing, .decided = nothing, .wrong_schema = no_schema };

static struct pg *pg;
static struct pg_ref lane;

/* What became of a question. */
static struct asked {
    int answers;
    enum db_status status;
    char sqlstate[6];
    int rows;
    int64_t value;
    char text[40];
    int order;
} asked[200];
static int answered;

static void on_answer(void *arg, enum db_status status, PGresult *res)
{
    struct asked *a = arg;
    struct span text;

    a->answers++;
    a->status = status;
    a->order = answered++;
    snprintf(a->sqlstate, sizeof a->sqlstate, "%s", pg_sqlstate(pg));
    if (status == DB_OK) {
        int last = PQnfields(res) - 1;
        a->rows = PQntuples(res);
        for (int i = 0; i < a->rows; i++) {
            int64_t value = 0;
            assert_true(pg_get_int8(res, i, last - 1, &value));
            a->value += value;
        }
        if (a->rows > 0 && pg_get_bytes(res, 0, last, &text))
            snprintf(a->text, sizeof a->text, "%.*s", (int)text.len, text.at);
    }
    PQclear(res);
}

static void ask(size_t statement, size_t i, int64_t by, const char *text)
{
    struct pg_args args = PG_ARGS_EMPTY;

    pg_arg_int8(&args, by);
    if (text != NULL)
        pg_arg_bytes(&args, span_str(text));
    else
        pg_arg_null(&args);
    pg_arg_bool(&args, true);
    pg_ask_grouped(pg, lane, statement, &args, on_answer, &asked[i]);
}

static void divide(size_t i, int64_t by, const char *text)
{
    ask(STATEMENT_DIVIDE, i, by, text);
}

static void wait_for(int count)
{
    for (int i = 0; i < 5000 && answered < count; i++)
        turn_for(1);
    assert_int_equal(answered, count);
}

static unsigned long long groups, grouped, sent;

static void count_from_here(void)
{
    memset(asked, 0, sizeof asked);
    answered = 0;
    groups = metrics_mine->counters[METRIC_SQL_GROUPS];
    grouped = metrics_mine->counters[METRIC_SQL_GROUPED];
    sent = pg_statements(pg);
}

static void expect_sent(unsigned long long of_groups, unsigned long long of_grouped, unsigned long long in_all)
{
    assert_int_equal(metrics_mine->counters[METRIC_SQL_GROUPS] - groups, of_groups);
    assert_int_equal(metrics_mine->counters[METRIC_SQL_GROUPED] - grouped, of_grouped);
    assert_int_equal(pg_statements(pg) - sent, in_all);
}

static int begin(void **state)
{
    char *error = NULL;
    char *conninfo = conninfo_merge(getenv("POSTERN_TEST_DB"), "user=postern_mail", "postern test", &error);

    (void)state;
    assert_non_null(conninfo);
    pg = pg_new(loop, conninfo, &statements, &(struct pg_wants){ .lanes = 1, .statement_timeout = 30000, .retry = 200 },
                &events, NULL);
    mem_free(conninfo);
    for (int i = 0; i < 2000 && pg_bind(pg, &lane) != PG_BOUND; i++)
        turn_for(2);
    assert_true(pg_alive(lane));
    count_from_here();
    return 0;
}

static int end(void **state)
{
    (void)state;
    pg_free(&pg);
    return 0;
}

/* As it is, with no other name and no wait for company. */
static void one_alone(void **state)
{
    (void)state;
    divide(0, 10, "ten");
    wait_for(1);
    assert_int_equal(asked[0].value, 100);
    assert_string_equal(asked[0].text, "ten");
    expect_sent(0, 0, 1);
}

static void those_of_a_turn(void **state)
{
    (void)state;
    divide(0, 10, "ten");
    divide(1, 20, NULL);
    divide(2, 500, "");
    wait_for(3);
    expect_sent(1, 3, 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(asked[i].status, DB_OK);
        assert_int_equal(asked[i].rows, 1);
        assert_int_equal(asked[i].order, i);
    }
    assert_int_equal(asked[0].value, 100);
    assert_int_equal(asked[1].value, 50);
    assert_int_equal(asked[2].value, 2);
    assert_string_equal(asked[0].text, "ten");
    assert_string_equal(asked[1].text, "");
}

/* One is under way; what comes meanwhile, turn by turn, goes together when it is answered. */
static void those_that_gathered(void **state)
{
    struct pg_args args = PG_ARGS_EMPTY;

    (void)state;
    pg_arg_int8(&args, 1);
    pg_arg_bytes(&args, span_str("slow"));
    pg_arg_bool(&args, true);
    pg_ask(pg, lane, STATEMENT_SLOW, &args, on_answer, &asked[0]);
    for (size_t i = 1; i <= 5; i++) {
        divide(i, (int64_t)i, "x");
        turn_for(2);
    }
    wait_for(6);
    /* The slow one, the first alone behind it, and four. */
    expect_sent(1, 4, 3);
    for (size_t i = 1; i <= 5; i++)
        assert_int_equal(asked[i].value, 1000 / (int64_t)i);
}

static void no_more_than_so_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < 150; i++)
        divide(i, (int64_t)i + 14, "x");
    wait_for(150);
    expect_sent(3, 150, 3);
    for (size_t i = 0; i < 150; i++) {
        assert_int_equal(asked[i].order, i);
        assert_int_equal(asked[i].value, 1000 / ((int64_t)i + 14));
    }
}

/* Nor so many octets: five of 200 KB are two groups and one. */
static void no_more_octets(void **state)
{
    char *text = mem_zalloc(200001);

    (void)state;
    memset(text, 'a', 200000);
    for (size_t i = 0; i < 5; i++)
        divide(i, 10, text);
    mem_free(text);
    wait_for(5);
    expect_sent(2, 4, 3);
}

/* An error is that of who made it; the others never hear of it. */
static void one_bad_apple(void **state)
{
    (void)state;
    divide(0, 10, "a");
    divide(1, 0, "b");
    divide(2, 5, "c");
    wait_for(3);
    expect_sent(1, 3, 4);
    assert_int_equal(asked[0].value, 100);
    assert_int_equal(asked[1].status, DB_BUG);
    assert_string_equal(asked[1].sqlstate, "22012");
    assert_int_equal(asked[2].value, 200);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(asked[i].answers, 1);
}

/* The database did it, and says so in other columns than it should: nobody asks for it a second time. */
static void answer_of_another_kind(void **state)
{
    (void)state;
    ask(STATEMENT_WRONG, 0, 10, "a");
    ask(STATEMENT_WRONG, 1, 20, "b");
    wait_for(2);
    expect_sent(1, 2, 1);
    assert_int_equal(asked[0].status, DB_BUG);
    assert_int_equal(asked[1].status, DB_BUG);
}

static void whom_the_group_leaves_out(void **state)
{
    (void)state;
    divide(0, 10, "a");
    divide(1, 13, "b");
    divide(2, 13, "c");
    wait_for(3);
    expect_sent(1, 3, 3);
    assert_int_equal(asked[1].value, 76);
    assert_int_equal(asked[2].value, 76);
    assert_string_equal(asked[2].text, "c");
}

static bool no_memory;          /* for a result that is no connection's */

PGresult *PQmakeEmptyPGresult(PGconn *conn, ExecStatusType status)
{
    static PGresult *(*real)(PGconn *conn, ExecStatusType status);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "PQmakeEmptyPGresult");
    return conn == NULL && no_memory ? NULL : real(conn, status);
}

/* What was done for them, and cannot be told, is not done once more. */
static void without_memory(void **state)
{
    (void)state;
    divide(0, 10, "a");
    divide(1, 20, "b");
    no_memory = true;
    wait_for(2);
    no_memory = false;
    expect_sent(1, 2, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(asked[i].status, DB_RETRY);
        assert_int_equal(asked[i].answers, 1);
    }
}

static void list(size_t i, const int64_t *values, size_t count)
{
    struct pg_args args = PG_ARGS_EMPTY;
    struct buf array = BUF_EMPTY;

    pg_array_put_head(&array, (uint32_t)count);
    for (size_t k = 0; k < count; k++)
        pg_array_put_int8(&array, values[k]);
    pg_arg_int8(&args, (int64_t)i);
    if (values != NULL)
        pg_arg_bytes(&args, buf_span(&array));
    else
        pg_arg_null(&args);
    pg_arg_bytes(&args, (struct span){ "\0b", 2 });
    pg_ask_grouped(pg, lane, STATEMENT_LIST, &args, on_answer, &asked[i]);
    buf_free(&array);
}

/* An array is put behind those of the others; several rows, or none, come back. */
static void arrays(void **state)
{
    static const int64_t values[] = { 1, 2, 3, 4, 5, 6 };

    (void)state;
    list(0, values, 3);
    list(1, values, 0);
    list(2, NULL, 0);
    list(3, values + 3, 1);
    list(4, values, 6);
    wait_for(5);
    /* Those without a row were asked again. */
    expect_sent(1, 5, 3);
    assert_int_equal(asked[0].rows, 3);
    assert_int_equal(asked[0].value, 6);
    assert_int_equal(asked[1].rows, 0);
    assert_int_equal(asked[2].rows, 0);
    assert_int_equal(asked[3].rows, 1);
    assert_int_equal(asked[3].value, 4);
    assert_int_equal(asked[4].rows, 6);
    assert_int_equal(asked[4].value, 21);
}

/* In flight or gathered: each is told once that the connection is gone. */
static void lost(void **state)
{
    struct pg_args args = PG_ARGS_EMPTY;

    (void)state;
    pg_arg_int8(&args, 1);
    pg_arg_bytes(&args, span_str("slow"));
    pg_arg_bool(&args, true);
    pg_ask(pg, lane, STATEMENT_SLOW, &args, on_answer, &asked[0]);
    divide(1, 1, "x");
    divide(2, 1, "x");
    turn_for(2);
    divide(3, 1, "x");
    divide(4, 1, "x");
    admin_number("select pg_terminate_backend(%d)::int", pg_backend_pid(lane));
    wait_for(5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(asked[i].status, DB_LOST);
        assert_int_equal(asked[i].answers, 1);
        assert_int_equal(asked[i].order, i);
    }
    divide(5, 1, "x");      /* of a lane that is no more */
    wait_for(6);
    assert_int_equal(asked[5].status, DB_LOST);
}

/* The same where we end before anything was sent. */
static void freed(void **state)
{
    (void)state;
    divide(0, 1, "x");
    divide(1, 1, "x");
    pg_free(&pg);
    turn_for(2);
}

/* When the loop has stopped, what has gathered is sent all the same. */
static void waited_for(void **state)
{
    (void)state;
    divide(0, 10, "x");
    divide(1, 20, "x");
    for (int i = 0; i < 1000 && answered < 2 && pg_wait(pg, 1000); i++)
        ;
    assert_int_equal(answered, 2);
    assert_int_equal(asked[0].value + asked[1].value, 150);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(one_alone), TEST(those_of_a_turn), TEST(those_that_gathered), TEST(no_more_than_so_many), TEST(no_more_octets),
        TEST(one_bad_apple), TEST(answer_of_another_kind), TEST(whom_the_group_leaves_out), TEST(without_memory),
        TEST(arrays), TEST(lost), TEST(freed), TEST(waited_for),
    };

    if (without_database("pg_group"))
        return 0;
    return cmocka_run_group_tests_name("pg_group", tests, database_setup, database_teardown);
}
