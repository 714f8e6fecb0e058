/* Who is next: fair by line, by rank, and bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth/client/queue.h"

static struct queue_place p[64];

static size_t number(const struct queue_place *place)
{
    assert_non_null(place);
    return (size_t)(place - p);
}

static void in_turn(void **state)
{
    struct queue *q = queue_new(64);

    (void)state;
    assert_null(queue_take(q, QUEUE_FAILED));
    /* 0 to 9 of one address, 10 of another, 11 and 12 of a third. */
    for (size_t i = 0; i < 10; i++)
        assert_null(queue_put(q, &p[i], 5, QUEUE_NEW));
    queue_put(q, &p[10], 6, QUEUE_NEW);
    queue_put(q, &p[11], 7, QUEUE_NEW);
    queue_put(q, &p[12], 7, QUEUE_NEW);
    static const size_t order[] = { 0, 10, 11, 1, 12, 2, 3, 4, 5, 6, 7, 8, 9 };
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        assert_int_equal(number(queue_take(q, QUEUE_FAILED)), order[i]);
    assert_null(queue_take(q, QUEUE_FAILED));
    assert_int_equal(queue_count(q), 0);
    queue_free(&q);
    assert_null(q);
}

/* The good ones first, but nobody waits for ever. */
static void ranks(void **state)
{
    struct queue *q = queue_new(64);
    size_t taken[3] = { 0 };

    (void)state;
    for (size_t i = 0; i < 60; i++)
        queue_put(q, &p[i], i, i < 20 ? QUEUE_FAILED : i < 40 ? QUEUE_NEW : QUEUE_GOOD);
    for (size_t i = 0; i < 20; i++)
        taken[number(queue_take(q, QUEUE_FAILED)) / 20]++;
    assert_true(taken[2] >= 17 && taken[1] >= 1 && taken[0] >= 1);
    for (size_t i = 0; i < 40; i++)
        taken[number(queue_take(q, QUEUE_FAILED)) / 20]++;
    assert_true(taken[0] == 20 && taken[1] == 20 && taken[2] == 20);
    queue_free(&q);
}

/* Only so low. */
static void lowest(void **state)
{
    struct queue *q = queue_new(64);

    (void)state;
    queue_put(q, &p[0], 1, QUEUE_FAILED);
    queue_put(q, &p[1], 2, QUEUE_NEW);
    queue_put(q, &p[2], 3, QUEUE_GOOD);
    assert_int_equal(number(queue_take(q, QUEUE_GOOD)), 2);
    assert_null(queue_take(q, QUEUE_GOOD));
    assert_int_equal(number(queue_take(q, QUEUE_NEW)), 1);
    assert_null(queue_take(q, QUEUE_NEW));
    assert_int_equal(number(queue_take(q, QUEUE_FAILED)), 0);
    queue_free(&q);
}

/* Full: the newest of the greediest goes, of the lowest rank that is there. */
static void full(void **state)
{
    struct queue *q = queue_new(8);

    (void)state;
    for (size_t i = 0; i < 8; i++)
        assert_null(queue_put(q, &p[i], i < 5 ? 1 : 2, QUEUE_NEW));
    assert_int_equal(number(queue_put(q, &p[8], 1, QUEUE_NEW)), 8);     /* the greedy one's own */
    assert_int_equal(number(queue_put(q, &p[9], 3, QUEUE_NEW)), 4);     /* makes room for another */
    assert_int_equal(number(queue_put(q, &p[10], 1, QUEUE_FAILED)), 10);
    assert_int_equal(number(queue_put(q, &p[11], 1, QUEUE_GOOD)), 3);
    assert_int_equal(queue_count(q), 8);
    queue_remove(q, &p[11]);
    queue_remove(q, &p[0]);
    queue_put_first(q, &p[0]);
    queue_put_first(q, &p[3]);
    queue_remove(q, &p[3]);
    assert_int_equal(number(queue_take(q, QUEUE_FAILED)), 0);
    assert_int_equal(number(queue_take(q, QUEUE_FAILED)), 1);
    assert_int_equal(queue_count(q), 5);
    queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_turn), cmocka_unit_test(ranks), cmocka_unit_test(lowest), cmocka_unit_test(full) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
