/* The command line: every row of a table of any length is an option. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "admin/cmdline.c"

enum { ROWS = 300 };
#define WORD(text) ((char[]){ text })     /* as argv has them: not constant */

static struct cmdline_option rows[ROWS];
static char names[ROWS][8];

static int fill(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "o%d", i);
        rows[i] = (struct cmdline_option){ .name = names[i], .arg = i % 2 > 0 ? "WORD" : NULL, .letter = i == ROWS - 1 ? 'z' : '\0' };
    }
    return 0;
}

static void each_row(void **state)
{
    const char *given[ROWS];
    char *argv[] = { WORD("x"), WORD("--o298"), WORD("word"), WORD("--o63=a"), WORD("--o65"), WORD("b"), WORD("-zc"), NULL };

    (void)state;
    optind = 0;
    assert_int_equal(cmdline_parse(7, argv, rows, ROWS, given), 6);
    assert_string_equal(given[298], "");
    assert_string_equal(given[63], "a");
    assert_string_equal(given[65], "b");
    assert_string_equal(given[299], "c");
    assert_null(given[0]);
    assert_string_equal(argv[6], "word");
}

static void refused(void **state)
{
    const char *given[ROWS];
    char *twice[] = { WORD("x"), WORD("--o298"), WORD("--o298"), NULL }, *unknown[] = { WORD("x"), WORD("--p"), NULL }, *missing[] = { WORD("x"), WORD("--o299"), NULL };

    (void)state;
    optind = 0;
    assert_int_equal(cmdline_parse(3, twice, rows, ROWS, given), -1);
    optind = 0;
    assert_int_equal(cmdline_parse(2, unknown, rows, ROWS, given), -1);
    optind = 0;
    assert_int_equal(cmdline_parse(2, missing, rows, ROWS, given), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_row), cmocka_unit_test(refused) };

    return cmocka_run_group_tests(tests, fill, NULL);
}
