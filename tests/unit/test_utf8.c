/* What is UTF-8: the edges of each length, what is cut off, and all code points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/utf8.h"

/* Behind the text there is nothing that could be read: a sanitizer would tell. */
static size_t first(struct span text, uint32_t *code_r)
{
    char *copy = malloc(text.len + (text.len == 0));

    assert_non_null(copy);
    if (text.len > 0)
        memcpy(copy, text.at, text.len);
    size_t n = utf8_char((struct span){ copy, text.len }, code_r);
    free(copy);
    return n;
}

static void test_good(void **state)
{
    static const struct { struct span text; uint32_t code; size_t len; } rows[] = {
        { { "\0", 1 }, 0, 1 }, { { "ab", 2 }, 'a', 1 }, { { "\x7f", 1 }, 0x7F, 1 }, { { "\xc2\x80", 2 }, 0x80, 2 },
        { { "\xdf\xbf" "a", 3 }, 0x7FF, 2 }, { { "\xe0\xa0\x80", 3 }, 0x800, 3 }, { { "\xed\x9f\xbf", 3 }, 0xD7FF, 3 },
        { { "\xee\x80\x80", 3 }, 0xE000, 3 }, { { "\xef\xbf\xbf", 3 }, 0xFFFF, 3 },
        { { "\xf0\x90\x80\x80", 4 }, 0x10000, 4 }, { { "\xf4\x8f\xbf\xbf", 4 }, 0x10FFFF, 4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t code = UINT32_MAX;

        assert_int_equal(first(rows[i].text, &code), rows[i].len);
        assert_int_equal(code, rows[i].code);
        assert_true(utf8_valid(rows[i].text));
        /* Cut off: no character any more, and not valid. */
        for (size_t len = 1; len < rows[i].len; len++) {
            assert_int_equal(first((struct span){ rows[i].text.at, len }, &code), 0);
            assert_false(utf8_valid((struct span){ rows[i].text.at, len }));
        }
    }
}

static void test_wrong(void **state)
{
    static const struct span rows[] = {
        { "\x80", 1 }, { "\xbf", 1 }, { "\xc0\x80", 2 }, { "\xc0\xaf", 2 }, { "\xc1\xbf", 2 }, { "\xc3@", 2 }, { "\xff", 1 },
        { "\xfe\x80", 2 }, { "\xe0\x80\xaf", 3 }, { "\xe0\x9f\xbf", 3 }, { "\xe2\x82" "x", 3 }, { "\xed\xa0\x80", 3 },
        { "\xed\xbf\xbf", 3 }, { "\xf0\x80\x80\x80", 4 }, { "\xf0\x8f\xbf\xbf", 4 }, { "\xf4\x90\x80\x80", 4 },
        { "\xf5\x80\x80\x80", 4 }, { "\xf8\x88\x80\x80\x80", 5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t code;

        assert_int_equal(first(rows[i], &code), 0);
        assert_false(utf8_valid(rows[i]));
    }
    assert_false(utf8_valid(SPAN_OF("an\x80na")));
    assert_true(utf8_valid(SPAN_OF("")));
    assert_true(utf8_valid(SPAN_OF("J\xc3\xb6rg\0")));
}

/* Each code point, written as RFC 3629 section 3 says, is read as itself. */
static void test_all(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000 + 256; c++) {
        char out[4];
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        uint32_t code = 0;

        for (size_t i = len - 1; i > 0; i--)
            out[i] = (char)(0x80 | (c >> 6 * (len - 1 - i) & 0x3F));
        out[0] = (char)(len == 1 ? c : (0xF00u >> len & 0xFF) | c >> 6 * (len - 1));
        size_t n = utf8_char((struct span){ out, len }, &code);
        if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            assert_int_equal(n, 0);
        else if (n != len || code != c)
            fail_msg("U+%04X: %zu octets, U+%04X", (unsigned)c, n, (unsigned)code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_wrong), cmocka_unit_test(test_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
