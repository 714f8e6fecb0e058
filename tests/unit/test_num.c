/* Numbers of clients: M-rows on message numbers rest on these limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/base/num.h"

static void parse(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        uint64_t max;
        int result;
        uint64_t value;
    } rows[] = {
        { SPAN_OF("0"), 10, 1, 0 },
        { SPAN_OF("10"), 10, 1, 10 },
        { SPAN_OF("11"), 10, -1, 10 },
        { SPAN_OF("0000000000000000000000000000001"), 10, 1, 1 },
        { SPAN_OF("18446744073709551615"), UINT64_MAX, 1, UINT64_MAX },
        { SPAN_OF("18446744073709551616"), UINT64_MAX, -1, UINT64_MAX },
        { SPAN_OF("18446744073709551619"), UINT64_MAX, -1, UINT64_MAX },
        { SPAN_OF("99999999999999999999999999"), 5, -1, 5 },
        { SPAN_OF("99999999999999999999999999x"), 5, 0, 0 },
        { SPAN_OF(""), 5, 0, 0 },
        { SPAN_OF("-1"), 5, 0, 0 },
        { SPAN_OF("+1"), 5, 0, 0 },
        { SPAN_OF(" 1"), 5, 0, 0 },
        { SPAN_OF("1 "), 5, 0, 0 },
        { SPAN_OF("1\0"), 5, 0, 0 },
        { SPAN_OF("0x1"), 5, 0, 0 },
        { SPAN_OF("\xd9\xa1"), 5, 0, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 0;
        assert_int_equal(num_parse(rows[i].text, rows[i].max, &value), rows[i].result);
        assert_true(value == rows[i].value);
    }
}

static void format(void **state)
{
    (void)state;
    static const uint64_t values[] = { 0, 1, 9, 10, 99, 100, 4294967295, 4294967296, UINT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char ours[20], theirs[32];
        size_t n = num_format(ours, values[i]);
        assert_int_equal(n, snprintf(theirs, sizeof theirs, "%llu", (unsigned long long)values[i]));
        assert_memory_equal(ours, theirs, n);
    }
}

static void add(void **state)
{
    (void)state;
    uint64_t sum;
    assert_true(num_add(UINT64_MAX - 1, 1, &sum) && sum == UINT64_MAX);
    assert_false(num_add(UINT64_MAX, 1, &sum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse),
        cmocka_unit_test(format),
        cmocka_unit_test(add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
