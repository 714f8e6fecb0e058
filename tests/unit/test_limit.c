/* Rates and presence by key, with a clock of our own and from several processes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/limit.h"

enum { MINUTE = 60000, NOW = 1000000 };

static void keys(void **state)
{
    struct limit_seed a, b;

    (void)state;
    limit_seed_make(&a);
    limit_seed_make(&b);
    assert_true(limit_key(&a, 1, "x", 1) == limit_key(&a, 1, "x", 1));
    assert_true(limit_key(&a, 1, "x", 1) != limit_key(&a, 2, "x", 1));
    assert_true(limit_key(&a, 1, "x", 1) != limit_key(&a, 1, "y", 1));
    assert_true(limit_key(&a, 1, "x", 1) != limit_key(&b, 1, "x", 1));
    assert_true(limit_key(&a, 1, "", 0) != limit_key(&a, 1, "\0", 1));
}

/* One is forgotten in each interval; what was taken back never was. */
static void rate(void **state)
{
    struct limit_rates *r = limit_rates_new(1000);
    const uint64_t key = UINT64_C(0xFEDCBA9876543210), other = UINT64_C(0x0EDCBA9876543210);

    (void)state;
    assert_non_null(r);
    assert_int_equal(limit_count(r, key, MINUTE, NOW), 0);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(limit_add(r, key, MINUTE, 100, NOW), i);
    assert_int_equal(limit_count(r, key, MINUTE, NOW), 10);
    assert_int_equal(limit_count(r, other, MINUTE, NOW), 0);
    assert_int_equal(limit_count(r, key, MINUTE, NOW + MINUTE - 1), 10);
    assert_int_equal(limit_count(r, key, MINUTE, NOW + MINUTE), 9);
    assert_int_equal(limit_count(r, key, MINUTE, NOW + 9 * MINUTE), 1);
    assert_int_equal(limit_count(r, key, MINUTE, NOW + 10 * MINUTE), 0);
    assert_int_equal(limit_count(r, key, MINUTE, NOW + 1000 * MINUTE), 0);
    limit_take_back(r, key, MINUTE, NOW);
    assert_int_equal(limit_count(r, key, MINUTE, NOW), 9);
    limit_take_back(r, other, MINUTE, NOW);
    for (int i = 0; i < 20; i++)
        limit_take_back(r, key, MINUTE, NOW);
    assert_int_equal(limit_count(r, key, MINUTE, NOW), 0);
    /* Whoever stops is free after `most`, however long it went on. */
    for (int i = 0; i < 1000; i++)
        limit_add(r, key, MINUTE, 5, NOW);
    assert_int_equal(limit_count(r, key, MINUTE, NOW), 5);
    /* A thousand a second. */
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(limit_add(r, other, 1, 1000, NOW), i);
    assert_int_equal(limit_count(r, other, 1, NOW + 40), 60);
    limit_rates_free(&r);
    assert_null(r);
    limit_rates_free(&r);
}

/* A flood of keys that come once does not drive out one that came often. */
static void heavy_ones_stay(void **state)
{
    struct limit_rates *r = limit_rates_new(64);
    const uint64_t heavy = UINT64_C(0xABC0000000000000);

    (void)state;
    for (int i = 0; i < 50; i++)
        limit_add(r, heavy, MINUTE, 100, NOW);
    srand(1);
    for (int i = 0; i < 100000; i++)
        limit_add(r, (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ (uint64_t)rand(), MINUTE, 100, NOW);
    assert_int_equal(limit_count(r, heavy, MINUTE, NOW), 50);
    limit_rates_free(&r);
}

static void too_many(void **state)
{
    (void)state;
    assert_null(limit_rates_new(SIZE_MAX));
}

/* Nothing is lost between processes, and one that is killed leaves nothing locked. */
static void processes(void **state)
{
    enum { WRITERS = 3, EACH = 100000 };
    struct limit_rates *r = limit_rates_new(1);

    (void)state;
    for (int w = 0; w < WRITERS; w++)
        if (fork() == 0) {
            for (int i = 0; i < EACH; i++)
                limit_add(r, 7, 1000, 10 * EACH, NOW);
            _exit(0);
        }
    for (int w = 0; w < WRITERS; w++)
        wait(NULL);
    assert_int_equal(limit_count(r, 7, 1000, NOW), WRITERS * EACH);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            limit_add(r, 8, 1000, 10, NOW);
    usleep(1000);
    kill(pid, 9);
    wait(NULL);
    limit_add(r, 8, 1000, 10, NOW);
    assert_true(limit_count(r, 8, 1000, NOW) >= 1);
    limit_rates_free(&r);
}

/* What a process had counted goes with its area. */
static void presence(void **state)
{
    struct limit_present *p = limit_present_new();
    int a = limit_area_take(p), b = limit_area_take(p);

    (void)state;
    assert_true(a >= 0 && b >= 0 && a != b);
    assert_int_equal(limit_present_count(p, 5), 0);
    assert_int_equal(limit_enter(p, a, 5), 1);
    assert_int_equal(limit_enter(p, a, 5), 1);
    assert_int_equal(limit_enter(p, b, 5), 1);
    assert_int_equal(limit_enter(p, b, 6), 1);
    assert_int_equal(limit_present_count(p, 5), 3);
    limit_leave(p, a, 5);
    assert_int_equal(limit_present_count(p, 5), 2);
    pid_t pid = fork();
    if (pid == 0) {
        limit_enter(p, b, 5);
        _exit(0);
    }
    wait(NULL);
    assert_int_equal(limit_present_count(p, 5), 3);
    limit_area_give(p, b);
    assert_int_equal(limit_present_count(p, 5), 1);
    assert_int_equal(limit_present_count(p, 6), 0);
    b = limit_area_take(p);
    assert_int_equal(limit_present_count(p, 5), 1);
    limit_leave(p, a, 5);
    limit_leave(p, a, 5);
    assert_int_equal(limit_present_count(p, 5), 0);
    limit_present_free(&p);
}

/* Where there is no room nobody is counted, and nobody is counted out. */
static void presence_is_bounded(void **state)
{
    struct limit_present *p = limit_present_new();
    int a = limit_area_take(p), entered = 0;

    (void)state;
    for (uint64_t i = 1; i <= 20; i++)
        entered += limit_enter(p, a, i << 40);      /* all in one set */
    assert_true(entered >= 4 && entered < 20);
    for (uint64_t i = 1; i <= 20; i++)
        limit_leave(p, a, i << 40);
    assert_int_equal(limit_enter(p, a, UINT64_C(1) << 40), 1);
    assert_int_equal(limit_present_count(p, UINT64_C(1) << 40), 1);
    for (int i = 1; i < LIMIT_AREAS; i++)
        assert_true(limit_area_take(p) >= 0);
    assert_int_equal(limit_area_take(p), -1);
    assert_int_equal(limit_enter(p, -1, 5), 0);
    limit_leave(p, -1, 5);
    limit_area_give(p, -1);
    limit_present_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),      cmocka_unit_test(rate),     cmocka_unit_test(heavy_ones_stay),     cmocka_unit_test(too_many),
        cmocka_unit_test(processes), cmocka_unit_test(presence), cmocka_unit_test(presence_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
