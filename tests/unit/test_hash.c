/* Chains by number: many keys, removal in the middle, growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/base/hash.h"

enum { MANY = 5000 };

static struct thing {
    int value;
    bool seen;
    struct hash_link link;
} things[MANY];

/* One after the other, in steps, large, and 0. */
static uint64_t key_of(int i)
{
    return i % 3 == 0 ? (uint64_t)i : i % 3 == 1 ? (uint64_t)i << 32 : UINT64_MAX - (uint64_t)i * 64;
}

static void test_empty(void **state)
{
    struct hash h = HASH_EMPTY;

    (void)state;
    assert_null(hash_find(&h, 0));
    hash_free(&h);
    assert_null(hash_find(&h, 1));
}

static void see(struct hash_link *link, void *arg)
{
    struct thing *t = HASH_OF(link, struct thing, link);

    assert_false(t->seen);
    t->seen = true;
    if (t->value % 2 == 0)
        hash_remove(arg, link);
}

static void test_many(void **state)
{
    struct hash h = HASH_EMPTY;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        things[i].value = i;
        assert_null(hash_find(&h, key_of(i)));
        hash_add(&h, key_of(i), &things[i].link);
    }
    assert_int_equal(h.count, MANY);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(hash_find(&h, key_of(i)), &things[i].link);
    hash_each(&h, see, &h);
    assert_int_equal(h.count, MANY / 2);
    for (int i = 0; i < MANY; i++) {
        assert_true(things[i].seen);
        assert_ptr_equal(hash_find(&h, key_of(i)), i % 2 == 0 ? NULL : &things[i].link);
    }
    hash_add(&h, key_of(0), &things[0].link);
    assert_ptr_equal(hash_find(&h, key_of(0)), &things[0].link);
    hash_free(&h);
    assert_int_equal(h.count, 0);
    assert_null(hash_find(&h, key_of(0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_empty), cmocka_unit_test(test_many) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
