/*
 * Command lines: only CRLF ends one; what is too long is one error, however it
 * was cut (LM10, LM11).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/lmtp/session.h"

/* What a session would see: lines between < and >, + for one that is too long, ! for one without hope. */
static void read_all(struct span in, size_t step, struct buf *seen)
{
    struct line_reader r = { 0 };
    size_t at = 0, there = 0;

    while (there < in.len) {
        there = there + step < in.len ? there + step : in.len;
        for (;;) {
            struct span line, rest = { in.at + at, there - at };
            enum line_kind kind = line_next(&r, LINE_ENDS_CRLF, LMTP_PATH_LIMIT, &rest, &line);
            size_t used = there - at - rest.len;
            if (kind == LINE_COMMAND) {
                buf_add(seen, "<", 1);
                buf_add(seen, line.at, line.len);
                buf_add(seen, ">", 1);
            } else if (kind == LINE_LONG) {
                assert_true(line.len > 0 && line.at[0] == 'x');
                buf_add(seen, "+", 1);
            } else if (kind == LINE_ENDLESS) {
                buf_add(seen, "!", 1);
                return;
            }
            at += used;
            if (kind == LINE_MORE)
                break;
            assert_true(used > 0);
        }
        /* What is kept is bounded. */
        assert_true(there - at <= LMTP_PATH_LIMIT + step);
    }
}

static void expect(struct span in, const char *want)
{
    for (size_t step = 1; step < 5000; step = step < 20 ? step + 1 : step * 3) {
        struct buf seen = BUF_EMPTY;
        read_all(in, step, &seen);
        buf_add(&seen, "", 1);
        assert_string_equal(seen.data, want);
        buf_free(&seen);
    }
}

static void test_lines(void **state)
{
    (void)state;
    expect(SPAN_OF("NOOP\r\n"), "<NOOP>");
    expect(SPAN_OF("\r\n"), "<>");
    expect(SPAN_OF("NOOP\r\nQUIT\r\nhalf"), "<NOOP><QUIT>");
    expect(SPAN_OF("NOOP\nRSET\r\n"), "<NOOP\nRSET>");
    expect(SPAN_OF("NOOP\rRSET\r\n"), "<NOOP\rRSET>");
    expect(SPAN_OF("a\r\r\n"), "<a\r>");
    expect(SPAN_OF("a\n\r\n"), "<a\n>");
    expect(SPAN_OF("half\r"), "");
}

static void test_long_lines(void **state)
{
    static const size_t lengths[] = { LMTP_PATH_LIMIT - 2, LMTP_PATH_LIMIT - 1, LMTP_PATH_LIMIT, LMTP_PATH_LIMIT + 1, 5000, 20000, 60000 };

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct buf in = BUF_EMPTY, want = BUF_EMPTY;
        for (size_t k = 0; k < lengths[i]; k++)
            buf_add(&in, k % 100 == 99 ? "\r" : "x", 1);
        if (lengths[i] + 2 <= LMTP_PATH_LIMIT) {
            buf_add(&want, "<", 1);
            buf_add(&want, in.data, in.len);
            buf_add(&want, ">", 1);
        } else {
            buf_add(&want, "+", 1);
        }
        buf_add_str(&in, "\r\nNOOP\r\n");
        buf_add_str(&want, "<NOOP>");
        buf_add(&want, "", 1);
        expect(buf_span(&in), want.data);
        buf_free(&in);
        buf_free(&want);
    }
}

static void test_endless(void **state)
{
    static char in[3 * LINE_GIVE_UP];

    (void)state;
    memset(in, 'x', sizeof in);
    expect((struct span){ in, sizeof in }, "!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
