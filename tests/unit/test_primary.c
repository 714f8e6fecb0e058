/* Which server is believed, by several processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/primary.h"

static struct primary_id id(const char *text)
{
    struct primary_id read;
    assert_true(primary_read(text, &read));
    return read;
}

static void reads(void **state)
{
    static const char *const none[] = { "", "/", "7", "7/", "7/0000001", "7/00000000", "/00000001", "7/0000000g", "7/000000011", "7/000000 1x" };
    struct primary_id read;

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(primary_read(none[i], &read));
    assert_int_equal(id("7456789012345678901/0000001F").timeline, 31);
    assert_true(id("7/00000001").cluster == id("7/00000002").cluster);
    assert_true(id("7/00000001").cluster != id("8/00000001").cluster);
}

static void meets(void **state)
{
    const uint64_t long_after = 100000 + PRIMARY_QUIET_MS;
    const struct primary_id first = id("7/00000001"), second = id("7/00000002"), other = id("8/00000001");

    (void)state;
    assert_true(primary_share());
    assert_false(primary_is(first));
    assert_int_equal(primary_meet(first, 1000), PRIMARY_GOOD);
    assert_true(primary_is(first));
    assert_int_equal(primary_meet(first, 1000), PRIMARY_GOOD);
    assert_int_equal(primary_meet(second, 1000), PRIMARY_NEW);
    assert_int_equal(primary_meet(second, 1000), PRIMARY_GOOD);
    assert_false(primary_is(first));
    assert_true(primary_is(second));
    /* However long the newer one has not been heard of. */
    assert_int_equal(primary_meet(first, 1000 + 2 * long_after), PRIMARY_OLD);
    /* As long as the one in use answers. */
    assert_int_equal(primary_meet(other, 1000 + PRIMARY_QUIET_MS - 1), PRIMARY_FOREIGN);
    primary_heard(first, 50000);
    primary_heard(second, 100000);
    assert_int_equal(primary_meet(other, long_after - 1), PRIMARY_FOREIGN);
    assert_int_equal(primary_meet(other, 100000 - 1), PRIMARY_FOREIGN);
    assert_int_equal(primary_meet(other, long_after), PRIMARY_NEW);
    assert_false(primary_is(second));
    assert_int_equal(primary_now().cluster, other.cluster);
    /* Other hosts: nothing is known. */
    assert_true(primary_share());
    assert_int_equal(primary_meet(first, 1), PRIMARY_GOOD);
    assert_true(strlen(primary_advice(PRIMARY_OLD)) > 0 && strlen(primary_advice(PRIMARY_FOREIGN)) > 0);
}

/* Many meet two servers at once: in the end the newer one is believed, and one of them was the first to say so. */
static void processes(void **state)
{
    enum { MANY = 8 };
    int status, said = 0;

    (void)state;
    assert_true(primary_share());
    assert_int_equal(primary_meet(id("7/00000001"), 1), PRIMARY_GOOD);
    for (int i = 0; i < MANY; i++)
        if (fork() == 0) {
            const enum primary_met old = primary_meet(id("7/00000001"), 1), new = primary_meet(id("7/00000002"), 1);
            if (primary_is(id("7/00000001")) || (old != PRIMARY_GOOD && old != PRIMARY_OLD))
                _exit(2);
            _exit(new == PRIMARY_NEW);
        }
    for (int i = 0; i < MANY; i++) {
        assert_true(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) < 2);
        said += WEXITSTATUS(status);
    }
    assert_int_equal(said, 1);
    assert_true(primary_is(id("7/00000002")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(meets),
        cmocka_unit_test(processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
