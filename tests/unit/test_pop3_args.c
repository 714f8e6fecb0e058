/*
 * A command line in its parts: exactly one space separates (G21, G22), a TAB
 * does not (G23), and no octet in a keyword does harm (G14).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/pop3/args.h"

static void expect_verb(struct span line, const char *want, const char *rest, bool more)
{
    char verb[VERB_LEN + 1] = "";
    struct span got;
    bool got_more;

    assert_true(args_verb(line, verb, &got, &got_more));
    assert_string_equal(verb, want);
    assert_true(span_is(got, span_str(rest)));
    assert_int_equal(got_more, more);
}

/* G04 */
static void test_verb(void **state)
{
    (void)state;
    expect_verb(SPAN_OF("STAT"), "STAT", "", false);
    expect_verb(SPAN_OF("sTaT"), "STAT", "", false);
    expect_verb(SPAN_OF("top 1 0"), "TOP", "1 0", true);
    expect_verb(SPAN_OF("STAT "), "STAT", "", true);
    expect_verb(SPAN_OF("PASS  a b "), "PASS", " a b ", true);
}

static void test_no_verb(void **state)
{
    static const struct span lines[] = {
        SPAN_OF(""), SPAN_OF(" "), SPAN_OF(" STAT"), SPAN_OF("QU"), SPAN_OF("XYZZY"), SPAN_OF("A:B"), SPAN_OF("%s%n"),
        SPAN_OF("\xff\xfe\xfd"), SPAN_OF("LIST\t1"), SPAN_OF("\tSTAT"), SPAN_OF("STA\r"), SPAN_OF("ST@T"), SPAN_OF("ST[T"),
        SPAN_OF("ST`T"), SPAN_OF("ST{T"), SPAN_OF("\x1b[3"), SPAN_OF("\"\\/\x7f"), SPAN_OF("GET/"), SPAN_OF("st\xe4t"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char verb[VERB_LEN];
        struct span rest;
        bool more;

        assert_false(args_verb(lines[i], verb, &rest, &more));
    }
}

static void test_split(void **state)
{
    struct args args;

    (void)state;
    assert_true(args_split(SPAN_OF("1"), &args));
    assert_int_equal(args.count, 1);
    assert_true(span_is(args.v[0], SPAN_OF("1")));
    assert_true(args_split(SPAN_OF("12 345"), &args));
    assert_int_equal(args.count, 2);
    assert_true(span_is(args.v[0], SPAN_OF("12")));
    assert_true(span_is(args.v[1], SPAN_OF("345")));
    /* A TAB belongs to the argument, which is no number then. */
    assert_true(args_split(SPAN_OF("1\t2"), &args));
    assert_int_equal(args.count, 1);
    assert_true(span_is(args.v[0], SPAN_OF("1\t2")));
}

/* G21, G22, G24 */
static void test_split_wrong(void **state)
{
    static const struct span rests[] = {
        SPAN_OF(""), SPAN_OF(" "), SPAN_OF(" 1"), SPAN_OF("1 "), SPAN_OF("1  2"), SPAN_OF("1 2 "), SPAN_OF("1 2 3"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++) {
        struct args args;

        assert_false(args_split(rests[i], &args));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verb),
        cmocka_unit_test(test_no_verb),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
