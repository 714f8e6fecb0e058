/* Ids: found while they are in, never twice, whatever is taken out meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/base/idmap.h"

static void put_get_take(void **state)
{
    (void)state;
    int a, b;
    struct idmap *map = idmap_new();
    assert_null(idmap_get(map, 0));
    assert_null(idmap_take(map, 1));
    uint64_t ia = idmap_put(map, &a), ib = idmap_put(map, &b);
    assert_true(ia != 0 && ib != 0 && ia != ib);
    assert_ptr_equal(idmap_get(map, ia), &a);
    assert_ptr_equal(idmap_take(map, ia), &a);
    assert_null(idmap_get(map, ia));
    assert_null(idmap_take(map, ia));
    assert_ptr_equal(idmap_get(map, ib), &b);
    assert_int_equal(idmap_count(map), 1);
    uint64_t again = idmap_put(map, &a);
    assert_true(again != ia && again != ib);
    assert_null(idmap_get(map, ia));        /* an answer for the one who left does not reach his successor */
    idmap_free(&map);
    assert_null(map);
    idmap_free(&map);
}

static void never_twice(void **state)
{
    (void)state;
    enum { N = 20000 };
    static uint64_t seen[N];
    int x;
    struct idmap *map = idmap_new();
    for (size_t i = 0; i < N; i++) {
        seen[i] = idmap_put(map, &x);
        if (i % 3 != 0)
            assert_non_null(idmap_take(map, seen[i]));
    }
    assert_int_equal(idmap_count(map), (N + 2) / 3);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(idmap_get(map, seen[i]) != NULL, i % 3 == 0);
    for (size_t i = 0; i < N; i++)
        idmap_take(map, seen[i]);
    assert_int_equal(idmap_count(map), 0);
    idmap_free(&map);
}

struct visit {
    struct idmap *map;
    uint64_t ids[100];
    int calls;
};

static void take_all(void *p, void *arg)
{
    struct visit *v = arg;
    (void)p;
    v->calls++;
    for (int i = 0; i < 100; i++)
        idmap_take(v->map, v->ids[i]);
}

static void take_itself(void *p, void *arg)
{
    struct visit *v = arg;
    int *index = p;
    v->calls++;
    assert_ptr_equal(idmap_take(v->map, v->ids[*index]), p);
}

static void each(void **state)
{
    (void)state;
    int index[100];
    struct visit v = { .map = idmap_new() };
    for (int i = 0; i < 100; i++) {
        index[i] = i;
        v.ids[i] = idmap_put(v.map, &index[i]);
    }
    idmap_each(v.map, take_itself, &v);
    assert_int_equal(v.calls, 100);
    assert_int_equal(idmap_count(v.map), 0);
    for (int i = 0; i < 100; i++)
        v.ids[i] = idmap_put(v.map, &index[i]);
    v.calls = 0;
    idmap_each(v.map, take_all, &v);
    assert_int_equal(v.calls, 1);
    idmap_free(&v.map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_take),
        cmocka_unit_test(never_twice),
        cmocka_unit_test(each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
