/*
 * Connection strings: a role's words over the common ones, whatever is in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "daemon/base/connect.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/mem.h"

/* What libpq understands of the merged string under this keyword. */
static char *word(const char *common, const char *role, const char *keyword)
{
    char *error = NULL, *value = NULL;
    char *merged = conninfo_merge(common, role, "posternd test", &error);
    assert_non_null(merged);
    PQconninfoOption *options = PQconninfoParse(merged, NULL);
    assert_non_null(options);
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL)
            value = mem_str(o->val);
    PQconninfoFree(options);
    mem_free(merged);
    return value;
}

static void expect(const char *common, const char *role, const char *keyword, const char *wanted)
{
    char *value = word(common, role, keyword);
    if (wanted == NULL) {
        assert_null(value);
        return;
    }
    assert_non_null(value);
    assert_string_equal(value, wanted);
    mem_free(value);
}

static void role_over_common(void **state)
{
    (void)state;
    expect("dbname=postern user=x", "user=postern_mail", "user", "postern_mail");
    expect("dbname=postern user=x", "user=postern_mail", "dbname", "postern");
    expect("dbname=postern", "", "user", NULL);
    expect("", "", "application_name", "posternd test");
    expect("application_name=other", "", "application_name", "posternd test");
    expect("postgresql://db1,db2/mail?target_session_attrs=read-write", "user=postern_mail", "host", "db1,db2");
    expect("postgresql://db1,db2/mail?target_session_attrs=read-write", "user=postern_mail", "target_session_attrs", "read-write");
}

static void odd_values_come_through(void **state)
{
    (void)state;
    expect("dbname='a b\\'c\\\\d'", "", "dbname", "a b'c\\d");
    expect("password=' x '", "user='a=b c=d'", "password", " x ");
    expect("password=' x '", "user='a=b c=d'", "user", "a=b c=d");
    expect("options='-c geqo=off'", "", "options", "-c geqo=off");
    expect("dbname=x", "user=''", "user", "");
}

static void fallbacks_only_where_nothing_is_said(void **state)
{
    (void)state;
    expect("", "", "connect_timeout", "10");
    expect("connect_timeout=3", "", "connect_timeout", "3");
    expect("", "connect_timeout=4", "connect_timeout", "4");
    expect("", "", "keepalives_idle", "10");
    expect("", "", "keepalives_interval", "3");
    expect("", "", "keepalives_count", "3");
    expect("", "", "tcp_user_timeout", "10000");
    expect("", "", "client_encoding", "UTF8");
}

static void errors_have_a_text(void **state)
{
    static const char *const broken[] = { "nonsense=1", "dbname='open", "postgresql://[::1", "justaword" };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char *error = NULL;
        assert_null(conninfo_merge(broken[i], "user=x", "t", &error));
        assert_non_null(error);
        assert_true(strlen(error) > 0 && strchr(error, '\n') == NULL);
        mem_drop(&error);
        assert_null(conninfo_merge("dbname=x", broken[i], "t", &error));
        assert_non_null(error);
        mem_drop(&error);
    }
}

static void hosts_go_round(void **state)
{
    static const struct { size_t by; const char *host, *port; } rows[] = {
        { 0, "db1,db2,db3", "5432,5433,5434" }, { 1, "db2,db3,db1", "5433,5434,5432" }, { 2, "db3,db1,db2", "5434,5432,5433" },
        { 3, "db1,db2,db3", "5432,5433,5434" },
    };
    char *error = NULL, *merged = conninfo_merge("host=db1,db2,db3 port=5432,5433,5434 password='a, b'", "user=x", "test", &error);

    (void)state;
    assert_int_equal(conninfo_hosts(merged), 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *turned = conninfo_rotate(merged, rows[i].by);

        expect(turned, "", "host", rows[i].host);
        expect(turned, "", "port", rows[i].port);
        expect(turned, "", "password", "a, b");
        expect(turned, "", "connect_timeout", "10");
        mem_free(turned);
    }
    mem_free(merged);
    /* One port for all; addresses beside names; no host at all. */
    char *one = conninfo_rotate("host=db1,db2 hostaddr=192.0.2.1,192.0.2.2 port=5433", 1);
    expect(one, "", "host", "db2,db1");
    expect(one, "", "hostaddr", "192.0.2.2,192.0.2.1");
    expect(one, "", "port", "5433");
    mem_free(one);
    one = conninfo_rotate("dbname=mail", 1);
    expect(one, "", "dbname", "mail");
    expect(one, "", "host", NULL);
    mem_free(one);
    assert_int_equal(conninfo_hosts("dbname=mail"), 1);
    assert_int_equal(conninfo_hosts("hostaddr=192.0.2.1,192.0.2.2"), 2);
    assert_true(connect_wants_writable("host=a,b target_session_attrs=read-write"));
    assert_true(connect_wants_writable("host=a,b target_session_attrs=primary"));
    assert_false(connect_wants_writable("host=a,b target_session_attrs=any"));
    assert_false(connect_wants_writable("host=a,b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(role_over_common),
        cmocka_unit_test(odd_values_come_through),
        cmocka_unit_test(hosts_go_round),
        cmocka_unit_test(fallbacks_only_where_nothing_is_said),
        cmocka_unit_test(errors_have_a_text),
    };
    return cmocka_run_group_tests_name("conninfo", tests, NULL, NULL);
}
