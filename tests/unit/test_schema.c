/*
 * Is the schema ours? What the operator is told names the command that mends it.
 */
#include "storage/schema.h"
#include "tests/unit/db_fixture.h"

static void migrations_are_numbered(void **state)
{
    (void)state;
    assert_true(schema_migration_count > 0);
    for (size_t i = 0; i < schema_migration_count; i++) {
        assert_true(i == 0 || schema_migrations[i].version > schema_migrations[i - 1].version);
        assert_int_equal(atoi(schema_migrations[i].name), schema_migrations[i].version);
        assert_true(strlen(schema_migrations[i].sql) > 100);
    }
    assert_int_equal(schema_wanted(), schema_migrations[schema_migration_count - 1].version);
}

static void advice_names_the_command(void **state)
{
    (void)state;
    assert_null(schema_advice(schema_wanted()));
    assert_non_null(strstr(schema_advice(0), "posternctl schema init"));
    assert_non_null(strstr(schema_advice(schema_wanted() - 1), "posternctl schema upgrade"));
    assert_non_null(strstr(schema_advice(schema_wanted() + 1), "install the release"));
}

static void expect_probe(const char *words, int wanted, const char *text)
{
    char *error = NULL, *told = NULL;
    char *conninfo = conninfo_merge(getenv("POSTERN_TEST_DB"), words, "t", &error);
    assert_non_null(conninfo);
    assert_int_equal(schema_probe(conninfo, &told), wanted);
    assert_non_null(told);
    assert_null(strchr(told, '\n'));
    if (strstr(told, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, told);
    mem_free(told);
    mem_free(conninfo);
}

static void probe(void **state)
{
    (void)state;
    if (without_database("schema probe"))
        skip();
    expect_probe("user=postern_mail", 1, "right");
    expect_probe("user=postern_auth", 1, "right");
    expect_probe("dbname=template1", 0, "posternctl schema init");
    expect_probe("host=/nonexistent", -1, "cannot be reached");
    expect_probe("dbname=does_not_exist", -1, "does_not_exist");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrations_are_numbered),
        cmocka_unit_test(advice_names_the_command),
        cmocka_unit_test(probe),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
