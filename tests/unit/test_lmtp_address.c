/*
 * Paths and parameters of MAIL and RCPT, as tables (LW14-LW17, LM16, LM17,
 * LV04, LV07).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/lmtp/address.h"

static const struct {
    struct span in;
    enum path_result result;
    const char *text, *rest;
} paths[] = {
    { SPAN_OF("<a@b>"), PATH_OK, "a@b", "" },
    { SPAN_OF("<>"), PATH_OK, "", "" },                                          /* LW01 */
    { SPAN_OF("<> BODY=7BIT"), PATH_OK, "", " BODY=7BIT" },
    { SPAN_OF(" <a@b>"), PATH_OK, "a@b", "" },                                   /* LW16: one space is let through */
    { SPAN_OF("  <a@b>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("a@b"), PATH_SYNTAX, "", "" },                                     /* LW16 */
    { SPAN_OF("<a@b"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a@b>x"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a@b> SIZE=1"), PATH_OK, "a@b", " SIZE=1" },
    { SPAN_OF("<@x,@y:a@b>"), PATH_OK, "a@b", "" },                              /* LW14 */
    { SPAN_OF("<@x.example,@y.example:a@b>"), PATH_OK, "a@b", "" },
    { SPAN_OF("<@x:>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<@x,:a@b>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<@x a@b>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<@>"), PATH_SYNTAX, "", "" },                                     /* LM17 */
    { SPAN_OF("<\"\">"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<\"\"@x>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<\">"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<\"\\"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<\"a\\"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<@x>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a@>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a@@b>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a b@c>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a\0b@c>"), PATH_SYNTAX, "", "" },                                /* LM16 */
    { SPAN_OF("<\"a\0b\"@c>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<a@[\0]>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<root>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<postmaster>"), PATH_OK, "postmaster", "" },                      /* LW11 */
    { SPAN_OF("<PostMaster>"), PATH_OK, "PostMaster", "" },
    { SPAN_OF("<\"u 1\"@t1>"), PATH_OK, "\"u 1\"@t1", "" },                      /* LW15 */
    { SPAN_OF("<\"u\\ 1\"@t1>"), PATH_OK, "\"u 1\"@t1", "" },
    { SPAN_OF("<\"u1\"@t1>"), PATH_OK, "u1@t1", "" },                            /* one address, one spelling */
    { SPAN_OF("<\"\\u\\1\"@t1>"), PATH_OK, "u1@t1", "" },
    { SPAN_OF("<\"a\\\"b\\\\c\"@t1>"), PATH_OK, "\"a\\\"b\\\\c\"@t1", "" },
    { SPAN_OF("<\"a@b\"@t1>"), PATH_OK, "\"a@b\"@t1", "" },
    { SPAN_OF("<\"a>\"@t1>"), PATH_OK, "\"a>\"@t1", "" },
    { SPAN_OF("<a..b.@docomo.example>"), PATH_OK, "a..b.@docomo.example", "" },  /* seen in the wild */
    { SPAN_OF("<a@[127.0.0.1]>"), PATH_OK, "a@[127.0.0.1]", "" },
    { SPAN_OF("<a@[IPv6:::1]>"), PATH_OK, "a@[IPv6:::1]", "" },
    { SPAN_OF("<a@[127.0.0.1>"), PATH_SYNTAX, "", "" },
    { SPAN_OF("<\xc3\xbc@x>"), PATH_OK, "\xc3\xbc@x", "" },
    { SPAN_OF("<\xc3@x>"), PATH_NOT_UTF8, "", "" },
    { SPAN_OF("<\xff@x>"), PATH_NOT_UTF8, "", "" },
    { SPAN_OF("<\xed\xa0\x80@x>"), PATH_NOT_UTF8, "", "" },                      /* a surrogate */
    { SPAN_OF("<\xc0\xaf@x>"), PATH_NOT_UTF8, "", "" },                          /* overlong */
    { SPAN_OF(""), PATH_SYNTAX, "", "" },
    { SPAN_OF("<"), PATH_SYNTAX, "", "" },
    { SPAN_OF(" "), PATH_SYNTAX, "", "" },
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct path path;
        struct span rest;
        enum path_result result = path_parse(paths[i].in, &path, &rest);

        if (result != paths[i].result)
            print_error("path %zu: %.*s\n", i, (int)paths[i].in.len, paths[i].in.at);
        assert_int_equal(result, paths[i].result);
        if (result != PATH_OK)
            continue;
        assert_string_equal(path.text, paths[i].text);
        assert_int_equal(path.len, strlen(paths[i].text));
        assert_true(span_is(rest, span_str(paths[i].rest)));
    }
}

/* Every cut of a path is refused, never read behind: the sanitizer sees to that. */
static void test_cut_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (size_t len = 0; len <= paths[i].in.len; len++) {
            char *copy = malloc(len > 0 ? len : 1);
            struct path path;
            struct span rest;

            memcpy(copy, paths[i].in.at, len);
            (void)path_parse((struct span){ copy, len }, &path, &rest);
            assert_int_equal(path.len, strlen(path.text));
            free(copy);
        }
    }
}

/* LW17: cut nowhere; too long is too long, and syntax is still looked at. */
static void test_long_paths(void **state)
{
    static char in[3000];
    struct path path;
    struct span rest;

    (void)state;
    for (size_t len = 300; len < 700; len++) {
        in[0] = '<';
        memset(in + 1, 'a', len);
        memcpy(in + 1 + len, "@b>", 4);
        enum path_result result = path_parse((struct span){ in, len + 4 }, &path, &rest);
        assert_int_equal(result, len + 2 <= PATH_TEXT_MAX ? PATH_OK : PATH_TOO_LONG);
        if (result == PATH_OK)
            assert_int_equal(path.len, len + 2);
        in[1 + len] = ' ';
        assert_int_equal(path_parse((struct span){ in, len + 4 }, &path, &rest), PATH_SYNTAX);
    }
    memcpy(in, "<a@", 3);
    memset(in + 3, 'b', 2000);
    in[2003] = '>';
    assert_int_equal(path_parse((struct span){ in, 2004 }, &path, &rest), PATH_TOO_LONG);
    memcpy(in, "<\"", 2);
    memset(in + 2, '"', 1000);
    for (size_t i = 2; i < 1000; i += 2)
        in[i] = '\\';
    memcpy(in + 1000, "\"@b>", 5);
    assert_int_equal(path_parse((struct span){ in, 1004 }, &path, &rest), PATH_TOO_LONG);
}

static void test_what_a_path_is(void **state)
{
    struct path path;
    struct span rest;

    (void)state;
    path_parse(SPAN_OF("<Postmaster>"), &path, &rest);
    assert_true(path.no_domain);
    path_parse(SPAN_OF("<a@[::1]>"), &path, &rest);
    assert_true(path.literal);
    path_parse(SPAN_OF("<a@\xc3\xbc> x"), &path, &rest);
    assert_true(path.eight_bit);
    path_parse(SPAN_OF("<a@b> \xc3\xbc"), &path, &rest);
    assert_false(path.eight_bit);
    path_parse(SPAN_OF("<@r:\"a\\b\"@c> x"), &path, &rest);
    assert_string_equal(path.text, "ab@c");
    assert_true(span_is(path.typed, SPAN_OF("\"a\\b\"@c")));
    path_parse(SPAN_OF("<>"), &path, &rest);
    assert_int_equal(path.typed.len, 0);
}

static const struct {
    struct span rest;
    enum params_result result;
    struct mail_params params;
} params[] = {
    { SPAN_OF(""), PARAMS_OK, { 0 } },
    { SPAN_OF(" "), PARAMS_OK, { 0 } },
    { SPAN_OF(" SIZE=0"), PARAMS_OK, { .has_size = true } },
    { SPAN_OF(" size=1234"), PARAMS_OK, { .has_size = true, .size = 1234 } },
    { SPAN_OF(" SIZE=1000000000000000000000000000000"), PARAMS_OK, { .has_size = true, .size_huge = true, .size = UINT64_MAX / 2 } },
    { SPAN_OF(" SIZE="), PARAMS_SYNTAX, { 0 } },                                 /* LV04 */
    { SPAN_OF(" SIZE"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" SIZE=x"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" SIZE=-1"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" SIZE=1 SIZE=2"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" BODY=7BIT"), PARAMS_OK, { .body = true } },
    { SPAN_OF(" BODY=8bitmime SMTPUTF8 SIZE=5"), PARAMS_OK, { .body = true, .utf8 = true, .has_size = true, .size = 5 } },
    { SPAN_OF(" BODY=BINARYMIME"), PARAMS_UNKNOWN, { 0 } },
    { SPAN_OF(" BODY"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" SMTPUTF8=1"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" FOO=1"), PARAMS_UNKNOWN, { 0 } },                                /* LV07 */
    { SPAN_OF(" RET=HDRS"), PARAMS_UNKNOWN, { 0 } },                             /* LV12: DSN is not announced */
    { SPAN_OF(" =1"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" -A=1"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" A=b=c"), PARAMS_SYNTAX, { 0 } },
    { SPAN_OF(" SIZE=1\0"), PARAMS_SYNTAX, { 0 } },
};

static void test_params(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++) {
        struct mail_params got;
        enum params_result result = mail_params_parse(params[i].rest, &got);

        if (result != params[i].result)
            print_error("parameters %zu:%.*s\n", i, (int)params[i].rest.len, params[i].rest.at);
        assert_int_equal(result, params[i].result);
        if (result != PARAMS_OK)
            continue;
        assert_int_equal(got.has_size, params[i].params.has_size);
        assert_int_equal(got.size_huge, params[i].params.size_huge);
        assert_true(got.size == params[i].params.size);
        assert_int_equal(got.body, params[i].params.body);
        assert_int_equal(got.utf8, params[i].params.utf8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_cut_paths),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_what_a_path_is),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
