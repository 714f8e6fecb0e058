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

static void test_set(void **state)
{
    static const char *const words[] = { "PLAIN", "LOGIN", "APOP", NULL };
    static const struct { const char *text; bool good; unsigned set; const char *wrong; } rows[] = {
        { "", true, 0, "" }, { " ,", true, 0, "" }, { "APOP", true, 4, "" }, { "apop,Plain", true, 5, "" },
        { " LOGIN\tAPOP, PLAIN,", true, 7, "" }, { "PLAIN PLAI", false, 0, "PLAI" }, { "LOGINS", false, 0, "LOGINS" },
        { "PLAIN,LOGIN plain", false, 0, "plain" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span wrong = SPAN_OF("");
        unsigned set = 0;

        assert_int_equal(list_words(span_str(rows[i].text), words, &set, &wrong), rows[i].good);
        assert_int_equal(set, rows[i].set);
        assert_true(span_is(wrong, span_str(rows[i].wrong)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_words), cmocka_unit_test(test_set) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
