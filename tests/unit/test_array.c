/*
 * PostgreSQL's binary arrays: what is read is what was written, and nothing
 * that the octets do not hold is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

static void round_trip(void **state)
{
    static const int64_t values[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 0x0102030405060708 };
    enum { N = sizeof values / sizeof values[0] };
    struct buf b = BUF_EMPTY;
    struct pg_array a;

    (void)state;
    pg_array_put_head(&b, N);
    for (size_t i = 0; i < N; i++)
        pg_array_put_int8(&b, values[i]);
    assert_true(pg_array_start(&a, buf_span(&b), PG_INT8));
    assert_int_equal(a.count, N);
    for (size_t i = 0; i < N; i++) {
        int64_t v;
        assert_false(pg_array_ended(&a));
        assert_true(pg_array_int8(&a, &v));
        assert_true(v == values[i]);
    }
    assert_true(pg_array_ended(&a));
    int64_t v;
    assert_false(pg_array_int8(&a, &v));
    buf_free(&b);
}

/* Those whose count is known at the end. */
static void other_types(void **state)
{
    static const char ints[] = "\0\0\0\1" "\0\0\0\0" "\0\0\0\27" "\0\0\0\2" "\0\0\0\1" "\0\0\0\4" "\1\2\3\4"
                               "\0\0\0\4" "\377\377\377\376";
    struct buf b = BUF_EMPTY;
    struct pg_array a;
    struct span s;
    int64_t v;

    (void)state;
    pg_array_begin(&b, PG_INT4);
    pg_array_put_int4(&b, 0x01020304);
    pg_array_put_int4(&b, -2);
    pg_array_set_count(&b, 2);
    assert_int_equal(buf_left(&b), sizeof ints - 1);
    assert_memory_equal(buf_span(&b).at, ints, sizeof ints - 1);

    pg_array_begin(&b, PG_BYTEA);               /* in place of what was in it */
    pg_array_put_bytes(&b, SPAN_OF("a\0b"));
    pg_array_put_bytes(&b, SPAN_OF(""));
    pg_array_set_count(&b, 2);
    assert_true(pg_array_start(&a, buf_span(&b), PG_BYTEA));
    assert_int_equal(pg_array_next(&a, &s), 1);
    assert_true(span_is(s, SPAN_OF("a\0b")));
    assert_int_equal(pg_array_next(&a, &s), 1);
    assert_int_equal(s.len, 0);
    assert_true(pg_array_ended(&a));

    pg_array_begin(&b, PG_TIMESTAMPTZ);
    pg_array_put_time(&b, 946684800 * INT64_C(1000000) + 5);     /* 2000-01-01 00:00:00.000005 UTC */
    pg_array_put_time(&b, 0);
    pg_array_set_count(&b, 2);
    assert_true(pg_array_start(&a, buf_span(&b), PG_TIMESTAMPTZ));
    assert_true(pg_array_int8(&a, &v));
    assert_int_equal(v, 5);
    assert_true(pg_array_int8(&a, &v));
    assert_true(v == -946684800 * INT64_C(1000000));
    buf_free(&b);
}

static void empty_has_no_dimension(void **state)
{
    static const char empty[] = "\0\0\0\0\0\0\0\0\0\0\0\24";
    struct pg_array a;

    (void)state;
    assert_true(pg_array_start(&a, (struct span){ empty, 12 }, PG_INT8));
    assert_int_equal(a.count, 0);
    assert_true(pg_array_ended(&a));
    assert_false(pg_array_start(&a, (struct span){ empty, 12 }, PG_TEXT));
    assert_false(pg_array_start(&a, (struct span){ NULL, 0 }, PG_INT8));
}

static void texts_with_nulls(void **state)
{
    /* {"ab", null, ""} */
    static const char texts[] = "\0\0\0\1" "\0\0\0\1" "\0\0\0\31" "\0\0\0\3" "\0\0\0\1"
                                "\0\0\0\2" "ab" "\377\377\377\377" "\0\0\0\0";
    struct pg_array a;
    struct span s;

    (void)state;
    assert_true(pg_array_start(&a, (struct span){ texts, sizeof texts - 1 }, PG_TEXT));
    assert_int_equal(a.count, 3);
    assert_int_equal(pg_array_next(&a, &s), 1);
    assert_true(span_is(s, SPAN_OF("ab")));
    assert_int_equal(pg_array_next(&a, &s), 0);
    assert_int_equal(pg_array_next(&a, &s), 1);
    assert_int_equal(s.len, 0);
    assert_int_equal(pg_array_next(&a, &s), -1);
    assert_true(pg_array_ended(&a));
}

/* Cut at every octet, in memory of just that size: a sanitizer sees a read behind it. */
static void every_truncation_is_noticed(void **state)
{
    struct buf b = BUF_EMPTY;

    (void)state;
    pg_array_put_head(&b, 3);
    for (int i = 0; i < 3; i++)
        pg_array_put_int8(&b, i);
    struct span all = buf_span(&b);
    for (size_t len = 0; len < all.len; len++) {
        char *copy = malloc(len > 0 ? len : 1);
        struct pg_array a;
        int64_t v;
        int read = 0;
        memcpy(copy, all.at, len);
        if (pg_array_start(&a, (struct span){ copy, len }, PG_INT8))
            while (pg_array_int8(&a, &v))
                read++;
        assert_true(read < 3);
        free(copy);
    }
    buf_free(&b);
}

static void counts_are_not_believed(void **state)
{
    /* two dimensions; four thousand million elements; an element longer than what is there; octets behind the end */
    static const char two[] = "\0\0\0\2" "\0\0\0\0" "\0\0\0\24" "\0\0\0\0" "\0\0\0\1" "\0\0\0\0" "\0\0\0\1";
    static const char many[] = "\0\0\0\1" "\0\0\0\0" "\0\0\0\24" "\377\377\377\376" "\0\0\0\1" "\0\0\0\0";
    static const char lengthy[] = "\0\0\0\1" "\0\0\0\0" "\0\0\0\24" "\0\0\0\1" "\0\0\0\1" "\177\377\377\377" "12345678";
    static const char behind[] = "\0\0\0\1" "\0\0\0\0" "\0\0\0\24" "\0\0\0\1" "\0\0\0\1" "\0\0\0\10" "12345678" "x";
    struct pg_array a;
    int64_t v;

    (void)state;
    assert_false(pg_array_start(&a, (struct span){ two, sizeof two - 1 }, PG_INT8));
    assert_false(pg_array_start(&a, (struct span){ many, sizeof many - 1 }, PG_INT8));
    assert_int_equal(a.count, 0);
    assert_true(pg_array_start(&a, (struct span){ lengthy, sizeof lengthy - 1 }, PG_INT8));
    assert_false(pg_array_int8(&a, &v));
    assert_true(pg_array_start(&a, (struct span){ behind, sizeof behind - 1 }, PG_INT8));
    assert_true(pg_array_int8(&a, &v));
    assert_false(pg_array_ended(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(other_types),
        cmocka_unit_test(empty_has_no_dimension),
        cmocka_unit_test(texts_with_nulls),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(counts_are_not_believed),
    };
    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
