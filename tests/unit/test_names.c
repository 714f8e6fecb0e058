/* Host names in connection strings: which they are, what becomes of them with the addresses that are known, and that they are found. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/conninfo.h"
#include "daemon/base/mem.h"
#include "daemon/base/thread.h"
#include "daemon/base/names.h"

static char seen[256];

static void note(void *arg, const char *name)
{
    (void)arg;
    strcat(seen, name);
    strcat(seen, " ");
}

static const char *names_of(const char *conninfo)
{
    seen[0] = '\0';
    conninfo_names(conninfo, note, NULL);
    return seen;
}

static void which_are_names(void **state)
{
    (void)state;
    assert_string_equal(names_of("host=db1,10.0.0.1,/run/postgresql,::1,@abstract,db2"), "db1 db2 ");
    assert_string_equal(names_of("host=db1 hostaddr=10.0.0.1"), "");
    assert_string_equal(names_of("dbname=postern"), "");
    assert_string_equal(names_of("no connection string"), "");
    setenv("PGHOST", "db3", 1);
    assert_string_equal(names_of("dbname=postern"), "db3 ");
    unsetenv("PGHOST");
    assert_string_equal(names_of("postgresql://db4:5433,db5/postern"), "db4 db5 ");
}

static char *look(const char *name)
{
    if (strcmp(name, "two") == 0)
        return mem_str("10.0.0.2,fd00::2");
    return strcmp(name, "libpq") == 0 ? NULL : mem_str(strcmp(name, "one") == 0 ? "10.0.0.1" : "");
}

static void becomes(const char *conninfo, const char *wanted)
{
    char *error = NULL, *text = conninfo_resolved(conninfo, look, &error);

    assert_null(error);
    assert_string_equal(text, wanted);
    mem_free(text);
}

static void with_addresses(void **state)
{
    char *error = NULL;
    (void)state;

    becomes("host=one dbname=x", "host='one' hostaddr='10.0.0.1' dbname='x'");
    becomes("host=one,two,/run port=1,2,3", "host='one,two,two,/run' hostaddr='10.0.0.1,10.0.0.2,fd00::2,' port='1,2,2,3'");
    becomes("host=gone,two port=5", "host='two,two' hostaddr='10.0.0.2,fd00::2' port='5,5'");
    becomes("host=libpq,one", "host='libpq,one' hostaddr=',10.0.0.1'");
    becomes("host=one hostaddr=10.9.9.9", "host=one hostaddr=10.9.9.9");
    becomes("host=one,two port=1,2,3", "host=one,two port=1,2,3");
    assert_null(conninfo_resolved("host=gone", look, &error));
    assert_string_equal(error, "no address found for host \"gone\"");
    mem_drop(&error);
}

static unsigned confined;

static void confine(void *arg)
{
    confined += arg == &confined;
}

static void found(void **state)
{
    static const char *const conninfo[] = { "host=localhost,/run dbname=x", NULL, "host=localhost,no.such.name.invalid" };
    char *error = NULL, *text;
    (void)state;

    text = names_resolve("host=localhost", &error);
    assert_string_equal(text, "host=localhost");        /* nobody looks up: left to libpq */
    mem_free(text);
    names_start(conninfo, 3);
    threads_confine(confine, &confined);
    names_await();
    assert_int_equal(confined, 2);
    text = names_resolve(conninfo[0], &error);
    if (strstr(text, "127.0.0.1") == NULL && strstr(text, "::1") == NULL)
        fail_msg("%s", text);
    mem_free(text);
    assert_null(names_resolve("host=no.such.name.invalid", &error));
    assert_non_null(error);
    mem_drop(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_are_names),
        cmocka_unit_test(with_addresses),
        cmocka_unit_test(found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
