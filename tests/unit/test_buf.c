/* The byte buffer: growth, reading from the front, its invariants after each step. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/base/buf.h"

static void sane(const struct buf *b)
{
    assert_true(b->at <= b->len);
    if (b->data == NULL) {
        assert_int_equal(b->cap, 0);
        return;
    }
    assert_true(b->len < b->cap);
    assert_int_equal(b->data[b->len], 0);
}

static void empty_is_valid(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    assert_int_equal(buf_left(&b), 0);
    assert_int_equal(buf_span(&b).len, 0);
    assert_non_null(buf_span(&b).at);
    buf_consume(&b, 0);
    buf_clear(&b);
    buf_add(&b, NULL, 0);
    buf_commit(&b, 0);
    sane(&b);
    buf_wipe(&b);
    buf_free(&b);
    sane(&b);
}

static void add_and_consume(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    buf_add_str(&b, "STAT\r\n");
    buf_add(&b, "a\0b", 3);
    sane(&b);
    assert_true(span_is(buf_span(&b), SPAN_OF("STAT\r\na\0b")));
    buf_consume(&b, 6);
    sane(&b);
    assert_true(span_is(buf_span(&b), SPAN_OF("a\0b")));
    buf_consume(&b, 3);
    assert_int_equal(b.at, 0);      /* the storage is used from its start again */
    assert_int_equal(b.len, 0);
    sane(&b);
    buf_free(&b);
}

static void formatted(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    char large[1000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    buf_addf(&b, "%d %s", 7, "seven");
    buf_addf(&b, "%s", "");
    sane(&b);
    assert_true(span_is(buf_span(&b), SPAN_OF("7 seven")));
    buf_addf(&b, "<%s>", large);    /* does not fit at once */
    sane(&b);
    assert_int_equal(buf_left(&b), 7 + 2 + 999);
    assert_string_equal(b.data + 7 + 1 + 999, ">");
    buf_free(&b);
}

/* Sizes around every edge of the growth; the content is compared with a model that is never moved. */
static void random_walk(void **state)
{
    (void)state;
    static unsigned char model[1 << 20];
    struct buf b = BUF_EMPTY;
    size_t from = 0, to = 0;
    uint32_t x = 12345;
    for (int i = 0; i < 4000; i++) {
        x = x * 1664525 + 1013904223;
        size_t n = (x >> 16) % 700;
        if (x >> 31 && to + n < sizeof model) {
            char *at = buf_reserve(&b, n);
            sane(&b);
            for (size_t k = 0; k < n; k++)
                at[k] = (char)(model[to + k] = (unsigned char)(x >> (k % 24)));
            buf_commit(&b, n);
            to += n;
        } else {
            if (n > to - from)
                n = to - from;
            buf_consume(&b, n);
            from += n;
        }
        sane(&b);
        assert_int_equal(buf_left(&b), to - from);
        assert_memory_equal(buf_span(&b).at, model + from, to - from);
    }
    assert_true(b.cap <= 65536);    /* what was consumed makes room: it does not grow for ever */
    buf_wipe(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_valid),
        cmocka_unit_test(add_and_consume),
        cmocka_unit_test(formatted),
        cmocka_unit_test(random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
