/* Text in JSON: escapes, and octets that are not UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/json_quote.h"

static void check(struct span in, const char *wanted)
{
    struct buf out = BUF_EMPTY;

    buf_add_str(&out, "=");             /* what is there stays */
    json_quote(&out, in);
    buf_add(&out, "", 1);
    assert_string_equal(buf_span(&out).at + 1, wanted);
    assert_int_equal(buf_span(&out).at[0], '=');
    buf_free(&out);
}

static void test_text(void **state)
{
    (void)state;
    check(SPAN_OF(""), "\"\"");
    check(SPAN_OF("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    check(SPAN_OF("\0\n\t\x1f\x7f"), "\"\\u0000\\u000a\\u0009\\u001f\\u007f\"");
    check(SPAN_OF("\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac\"");
}

static void test_not_utf8(void **state)
{
    (void)state;
    check(SPAN_OF("a\xff" "b"), "\"a\\ufffdb\"");
    check(SPAN_OF("\xc3"), "\"\\ufffd\"");                      /* cut */
    check(SPAN_OF("\xc0\x80"), "\"\\ufffd\\ufffd\"");            /* not the shortest form */
    check(SPAN_OF("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""); /* a surrogate */
    check(SPAN_OF("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    check(SPAN_OF("\xe2\x82" "x"), "\"\\ufffd\\ufffdx\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_text), cmocka_unit_test(test_not_utf8) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
