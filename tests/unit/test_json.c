/* The JSON that posternctl writes: nesting, lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/json.c"
#include "admin/shown.c"

static char *text;
static size_t size;

static struct json start(void)
{
    struct json j;

    json_start(&j, open_memstream(&text, &size));
    return j;
}

static void expect(struct json *j, const char *wanted)
{
    fclose(j->out);
    assert_string_equal(text, wanted);
    free(text);
}

static void test_nesting(void **state)
{
    struct json j = start();

    (void)state;
    json_object(&j, NULL);
    json_int(&j, "min", INT64_MIN);
    json_array(&j, "list");
    json_bool(&j, NULL, true);
    json_null(&j, NULL);
    json_object(&j, NULL);
    json_end(&j);
    json_end(&j);
    json_array(&j, "empty");
    json_end(&j);
    json_bool(&j, "no", false);
    json_end(&j);
    expect(&j, "{\"min\":-9223372036854775808,\"list\":[true,null,{}],\"empty\":[],\"no\":false}\n");
}

static void test_rows_have_lines(void **state)
{
    struct json j = start();

    (void)state;
    json_array(&j, NULL);
    json_int(&j, NULL, 1);
    json_int(&j, NULL, 2);
    json_end(&j);
    expect(&j, "[\n1,\n2]\n");
}

static void check(struct span in, const char *wanted)
{
    struct json j = start();

    json_text(&j, NULL, in);
    expect(&j, wanted);
}

static void test_text(void **state)
{
    (void)state;
    check(SPAN_OF(""), "\"\"");
    check(SPAN_OF("a\"\xff"), "\"a\\\"\\ufffd\"");
    /* What a terminal could obey: C1, turned writing, what nobody sees; above U+FFFF too. */
    check(SPAN_OF("\xc2\x9b" "2J\xe2\x80\xae\xef\xbb\xbf\xf3\xa0\x80\x81"), "\"\\u009b2J\\u202e\\ufeff\\udb40\\udc01\"");
    check(SPAN_OF("\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_rows_have_lines),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
