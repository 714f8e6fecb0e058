/*
 * Base64: what RFC 4648 section 10 gives, and nothing that only resembles it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/base64.h"

static bool decodes(const char *text, enum base64_kind kind, const char *want)
{
    unsigned char out[16];
    size_t len;

    return base64_decode(span_str(text), kind, out, sizeof out, &len) && len == strlen(want) && memcmp(out, want, len) == 0;
}

static void test_good(void **state)
{
    static const char *const rows[][3] = {
        { "", "", "" },                 { "Zg==", "Zg", "f" },            { "Zm8=", "Zm8", "fo" },          { "Zm9v", "Zm9v", "foo" },
        { "Zm9vYg==", "Zm9vYg", "foob" }, { "Zm9vYmE=", "Zm9vYmE", "fooba" }, { "Zm9vYmFy", "Zm9vYmFy", "foobar" },
        { "+/+/", "-_-_", "\xfb\xff\xbf" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(decodes(rows[i][0], BASE64_PADDED, rows[i][2]));
        assert_true(decodes(rows[i][1], BASE64_URL, rows[i][2]));
    }
}

static void test_bad(void **state)
{
    static const char *const rows[] = { "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z", "=", "====", "Zm9v=", "Zg==Zg==", "Z g=", "-_-_", "Zm9v\n", "Zm9v*" };
    unsigned char out[4];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_false(base64_decode(span_str(rows[i]), BASE64_PADDED, out, sizeof out, &len));
    assert_false(base64_decode(SPAN_OF("Zg=="), BASE64_URL, out, sizeof out, &len));
    assert_false(base64_decode(SPAN_OF("+/+/"), BASE64_URL, out, sizeof out, &len));
    assert_false(base64_decode(SPAN_OF("Zm9vYmE="), BASE64_PADDED, out, sizeof out, &len));     /* no room */
    /* Every octet: only those of the alphabet. */
    for (int kind = 0; kind < 2; kind++)
        for (int c = 0; c < 256; c++) {
            char text[] = { 'A', 'A', 'A', (char)c };
            const char *alphabet = kind == BASE64_URL ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                                                      : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            bool is = c != 0 && (strchr(alphabet, c) != NULL);
            bool good = base64_decode((struct span){ text, 4 }, (enum base64_kind)kind, out, sizeof out, &len);
            assert_int_equal(good && len == 3, is);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
