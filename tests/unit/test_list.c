/*
 * Lists as people type them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/list.h"

static void test_words(void **state)
{
    static const struct { const char *text, *words; } rows[] = {
        { "", "" }, { " ", "" }, { ",", "" }, { " ,\t, ", "" }, { "a", "a|" }, { "a,b", "a|b|" }, { "a b", "a|b|" }, { "a, b", "a|b|" },
        { " a\tb ,c, ", "a|b|c|" }, { "a;b", "a;b|" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span rest = span_str(rows[i].text), word;
        char found[64] = "";

        while (list_next(&rest, &word))
            snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s|", (int)word.len, word.at);
        assert_string_equal(found, rows[i].words);
        assert_int_equal(word.len, 0);
        assert_int_equal(rest.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_words) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
