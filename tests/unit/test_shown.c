/* Names of files as they are printed: one word, in which nothing is obeyed by a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/shown.c"

static void test_shown(void **state)
{
    static const char *const rows[][2] = {
        { "/var/mail/anna", "/var/mail/anna" }, { "/m\303\274ller", "/m\303\274ller" }, { "", "\"\"" }, { "a b", "\"a b\"" },
        { "x\nREJECTED y", "\"x\\nREJECTED y\"" }, { "a\rb\tc", "\"a\\015b\\tc\"" }, { "\033[2J", "\"\\033[2J\"" }, { "\302\233" "2J", "\"\\302\\2332J\"" },
        { "a\"b\\c", "\"a\\\"b\\\\c\"" }, { "\xff\xfe", "\"\\377\\376\"" }, { "\177", "\"\\177\"" }, { "\303", "\"\\303\"" },
        { "a\342\200\256b", "\"a\\342\\200\\256b\"" }, { "\355\240\200", "\"\\355\\240\\200\"" }, { "\300\212", "\"\\300\\212\"" },
        { "\360\237\230\200", "\360\237\230\200" },
    };
    char text[] = "a\033[b\303\274\303\n\302\205.";
    const char *first;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(shown_name(rows[i][0]), rows[i][1]);
    first = shown_name("a b");
    shown_name("c d");
    shown_name("e f");
    shown_name("g h");
    assert_string_equal(first, "\"a b\"");
    shown_text(text);
    assert_string_equal(text, "a?[b\303\274????.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
