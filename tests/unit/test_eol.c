/* Line ends of imported messages, cut into chunks at every place. X04: the size is the octets with CRLF line ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/eol.c"
#include "daemon/base/buf.h"

static void convert(const char *in, size_t len, size_t cut1, size_t cut2, struct buf *out)
{
    struct eol e = EOL_START;
    size_t cuts[] = { 0, cut1, cut2, len };

    buf_clear(out);
    for (int i = 0; i < 3; i++) {
        size_t n = cuts[i + 1] - cuts[i];

        buf_commit(out, eol_feed(&e, in + cuts[i], n, buf_reserve(out, EOL_ROOM(n))));
    }
    buf_commit(out, eol_end(&e, buf_reserve(out, 2)));
}

static void check(struct span in, struct span wanted)
{
    struct buf out = BUF_EMPTY;

    for (size_t a = 0; a <= in.len; a++)
        for (size_t b = a; b <= in.len; b++) {
            convert(in.at, in.len, a, b, &out);
            assert_int_equal(buf_left(&out), wanted.len);
            assert_memory_equal(buf_span(&out).at, wanted.at, wanted.len);
        }
    buf_free(&out);
}

static void test_table(void **state)
{
    (void)state;
    check(SPAN_OF(""), SPAN_OF(""));
    check(SPAN_OF("\n"), SPAN_OF("\r\n"));
    check(SPAN_OF("\r"), SPAN_OF("\r\n"));
    check(SPAN_OF("\r\n"), SPAN_OF("\r\n"));
    check(SPAN_OF("\n\r"), SPAN_OF("\r\n\r\n"));
    check(SPAN_OF("\r\r\n"), SPAN_OF("\r\n\r\n"));
    check(SPAN_OF("\r\n\n\r\r\n"), SPAN_OF("\r\n\r\n\r\n\r\n"));
    check(SPAN_OF("a"), SPAN_OF("a\r\n"));
    check(SPAN_OF("a\r"), SPAN_OF("a\r\n"));
    check(SPAN_OF("a\nb"), SPAN_OF("a\r\nb\r\n"));
    check(SPAN_OF("a\rb\r\nc\nd\r\n"), SPAN_OF("a\r\nb\r\nc\r\nd\r\n"));
    check(SPAN_OF("\0\n\0"), SPAN_OF("\0\r\n\0\r\n"));
    check(SPAN_OF(".\n..\n"), SPAN_OF(".\r\n..\r\n"));
}

/* Every text of five octets of this alphabet, against the plain definition. */
static void test_all_short_ones(void **state)
{
    static const char alphabet[] = { 'x', '\r', '\n', '\0' };
    struct buf out = BUF_EMPTY, wanted = BUF_EMPTY;

    (void)state;
    for (unsigned n = 0; n < 4 * 4 * 4 * 4 * 4; n++) {
        char in[5];

        for (unsigned i = 0, k = n; i < 5; i++, k /= 4)
            in[i] = alphabet[k % 4];
        buf_clear(&wanted);
        for (int i = 0; i < 5; i++) {
            if (in[i] == '\n' && i > 0 && in[i - 1] == '\r')
                continue;
            if (in[i] == '\n' || in[i] == '\r')
                buf_add_str(&wanted, "\r\n");
            else
                buf_add(&wanted, &in[i], 1);
        }
        if (in[4] != '\n' && in[4] != '\r')
            buf_add_str(&wanted, "\r\n");
        for (size_t cut = 0; cut <= 5; cut++) {
            convert(in, 5, cut, 5, &out);
            assert_int_equal(buf_left(&out), buf_left(&wanted));
            assert_memory_equal(buf_span(&out).at, buf_span(&wanted).at, buf_left(&out));
        }
    }
    buf_free(&out);
    buf_free(&wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_all_short_ones) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
