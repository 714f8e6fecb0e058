/*
 * Is the schema ours? What the operator is told names the command that mends it.
 */
#include "storage/pg/schema.h"
#include "tests/unit/db_fixture.h"

static void texts_are_in_order(void **state)
{
    const struct schema_text *t;
    int version = schema_first;

    (void)state;
    assert_string_equal(schema_files[0].name, "01_tables");
    for (t = schema_files; t->sql != NULL; t++) {
        assert_true(t == schema_files || strcmp(t[-1].name, t->name) < 0);
        assert_int_equal(t->version, schema_version);
        assert_true(strlen(t->sql) > 100);
    }
    for (t = schema_upgrades; t->sql != NULL; t++) {
        assert_int_equal(t->version, ++version);
        assert_int_equal(atoi(t->name), version);
    }
    assert_int_equal(version, schema_version);
    assert_int_equal(schema_wanted(), schema_version);
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
    expect_probe("user=postern_mail", 1, "right");
    expect_probe("user=postern_auth", 1, "right");
    expect_probe("dbname=template1", 0, "posternctl schema init");
    expect_probe("host=/nonexistent", -1, "cannot be reached");
    expect_probe("dbname=does_not_exist", -1, "does_not_exist");
}

/* schema_version() becomes one with this definition; NULL: there is none. */
static void replace_version(const char *definition)
{
    admin_do("alter function postern.schema_version() rename to schema_version_away");
    if (definition != NULL)
        admin_do("create function postern.schema_version() %s; revoke all on function postern.schema_version() from public;"
                 " grant execute on function postern.schema_version() to postern_mail", definition);
}

static void restore_version(void)
{
    admin_do("drop function if exists postern.schema_version(); alter function postern.schema_version_away() rename to schema_version");
}

/* What is to be done depends on which version is found. */
static void probe_of_another_version(void **state)
{
    char definition[100];

    (void)state;
    snprintf(definition, sizeof definition, "returns integer language sql as 'select %d'", schema_wanted() - 1);
    replace_version(definition);
    expect_probe("user=postern_mail", 0, "posternctl schema upgrade");
    restore_version();
    snprintf(definition, sizeof definition, "returns integer language sql as 'select %d'", schema_wanted() + 1);
    replace_version(definition);
    expect_probe("user=postern_mail", 0, "install the release");
    restore_version();
    expect_probe("user=postern_mail", 1, "right");
}

/* The schema of an initialization that came to nothing: its table is empty or missing, its function is missing. */
static void probe_of_a_torso(void **state)
{
    (void)state;
    replace_version("returns integer language sql as 'select null::integer'");
    expect_probe("user=postern_mail", 0, "posternctl schema init");
    restore_version();
    replace_version(NULL);
    expect_probe("user=postern_mail", 0, "posternctl schema init");
    restore_version();
    admin_do("alter table postern.schema_version rename to schema_version_away");
    expect_probe("user=postern_mail", 0, "posternctl schema init");
    admin_do("alter table postern.schema_version_away rename to schema_version");
}

/* Nothing is said of the schema's version where the reason is another one. */
static void probe_that_fails(void **state)
{
    (void)state;
    admin_do("revoke execute on function postern.schema_version() from postern_mail");
    expect_probe("user=postern_mail", 0, "permission denied");
    expect_probe("user=postern_auth", 1, "right");
    admin_do("grant execute on function postern.schema_version() to postern_mail");
    replace_version("returns setof integer language sql as 'select 1 where false'");
    expect_probe("user=postern_mail", 0, "it does not tell its version");
    restore_version();
    replace_version("returns integer language sql security definer as 'select pg_terminate_backend(pg_backend_pid())::int'");
    expect_probe("user=postern_mail", -1, "cannot be reached");
    restore_version();
}

/* Lanes that come back after an upgrade of the schema: who asks is told, and where it is undone they serve again. */
static void version_changes_while_lanes_are_away(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char definition[100];

    (void)state;
    wait_for_lanes(store, 2);
    snprintf(definition, sizeof definition, "returns integer language sql as 'select %d'", schema_wanted() + 1);
    replace_version(definition);
    admin_do("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_mail' and datname = current_database()");
    for (int i = 0; i < 2000 && wrong_schema_text == NULL; i++)
        turn_for(5);
    assert_non_null(strstr(wrong_schema_text, "install the release"));
    assert_string_equal(db_status_name(open_drop(store, mailbox).status), "bug");
    restore_version();
    wait_for_lanes(store, 2);
    assert_string_equal(db_status_name(finish(must_open(store, mailbox), NULL)), "ok");
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_in_order),
        cmocka_unit_test(advice_names_the_command),
    };
    const struct CMUnitTest with_database[] = {
        cmocka_unit_test(probe),
        cmocka_unit_test(probe_of_another_version),
        cmocka_unit_test(probe_of_a_torso),
        cmocka_unit_test(probe_that_fails),
        cmocka_unit_test(version_changes_while_lanes_are_away),
    };
    int failed = cmocka_run_group_tests_name("schema", tests, NULL, NULL);
    if (without_database("schema probe"))
        return failed;
    return failed + cmocka_run_group_tests_name("schema probe", with_database, database_setup, database_teardown);
}
