/* The clock of all processes; its time is what a test says. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "daemon/base/clock.h"

static struct timespec now;

int clock_gettime(clockid_t id, struct timespec *t)
{
    *t = now;
    return id == CLOCK_MONOTONIC ? 0 : -1;
}

static void test_units(void **state)
{
    (void)state;
    now = (struct timespec){ 12, 345678901 };
    assert_int_equal(clock_us(), 12345678);
    assert_int_equal(clock_ms(), 12346);
    now = (struct timespec){ 1u << 31, 999999999 };
    assert_int_equal(clock_us(), 2147483648999999);
    now = (struct timespec){ 0, 0 };
    assert_int_equal(clock_us(), 0);
    assert_int_equal(clock_ms(), 1);
}

static void test_left(void **state)
{
    (void)state;
    now = (struct timespec){ 10, 0 };
    assert_int_equal(clock_left(clock_ms() + 1500), 1500);
    assert_int_equal(clock_left(clock_ms()), 0);
    assert_int_equal(clock_left(clock_ms() - 1), 0);
    assert_int_equal(clock_left(0), 0);
    assert_int_equal(clock_left(clock_ms() + INT_MAX), INT_MAX);
    assert_int_equal(clock_left(clock_ms() + INT_MAX + 1u), INT_MAX);
    assert_int_equal(clock_left(UINT64_MAX), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_units), cmocka_unit_test(test_left) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
