/*
 * Command lines out of a stream of octets: what is answered never depends on
 * how the octets were cut, and nothing of an over-long line becomes a command.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/pop3/args.h"
#include "daemon/session/line.h"

/* Feeds `in` in calls of at most `chunk` new octets; writes what comes out as text: [line] NUL LONG ENDLESS. */
static void feed(struct span in, size_t chunk, struct buf *out)
{
    struct line_reader reader = { 0 };
    struct buf kept = BUF_EMPTY;

    for (size_t at = 0; at < in.len;) {
        size_t n = in.len - at < chunk ? in.len - at : chunk;
        struct span rest, line;
        enum line_kind kind;

        buf_add(&kept, in.at + at, n);
        at += n;
        rest = buf_span(&kept);
        while ((kind = line_next(&reader, LINE_ENDS_LF, LINE_LIMIT, &rest, &line)) != LINE_MORE) {
            switch (kind) {
            case LINE_COMMAND:
                assert_true(line.len <= LINE_LIMIT - 1);
                buf_add_str(out, "[");
                buf_add(out, line.at, line.len);
                buf_add_str(out, "]");
                break;
            case LINE_NUL:
                buf_add_str(out, " NUL ");
                break;
            case LINE_LONG:
                buf_add_str(out, " LONG ");
                break;
            case LINE_ENDLESS:
                buf_add_str(out, " ENDLESS ");
                buf_free(&kept);
                return;
            case LINE_MORE:
                break;
            }
        }
        /* Bounded: what may still become a command, no more. */
        assert_true(rest.len < LINE_LIMIT);
        buf_consume(&kept, buf_left(&kept) - rest.len);
    }
    buf_free(&kept);
}

static void expect(struct span in, const char *want)
{
    static const size_t chunks[] = { 1, 2, 3, 7, 254, 255, 256, 1000, 4096, SIZE_MAX };

    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct buf out = BUF_EMPTY;

        feed(in, chunks[i], &out);
        buf_add_str(&out, "");
        assert_string_equal(buf_left(&out) > 0 ? buf_span(&out).at : "", want);
        buf_free(&out);
    }
}

/* G13, G18, G19, G20 */
static void test_ends(void **state)
{
    (void)state;
    expect(SPAN_OF("STAT\r\nLIST 1\nNOOP\r\n"), "[STAT][LIST 1][NOOP]");
    expect(SPAN_OF("\r\nNOOP\r\n\n"), "[][NOOP][]");
    expect(SPAN_OF("NOOP\rDELE 1\r\nSTAT\r\n"), "[NOOP\rDELE 1][STAT]");
    expect(SPAN_OF("NOOP\r\r\n"), "[NOOP\r]");
    expect(SPAN_OF("QUIT"), "");
    expect(SPAN_OF("QUIT\r"), "");
}

/* G16 */
static void test_nul(void **state)
{
    (void)state;
    expect(SPAN_OF("STAT\0junk\r\nNOOP\r\n"), " NUL [NOOP]");
    expect(SPAN_OF("\0\r\n\0\nDELE 1\0\r\nNOOP\r\n"), " NUL  NUL  NUL [NOOP]");
}

/* `verb`, then so many letters, a line end, then STAT. */
static struct buf long_line(size_t total, const char *tail, const char *end)
{
    struct buf b = BUF_EMPTY;

    buf_add_str(&b, "NOOP ");
    while (buf_left(&b) + strlen(tail) + strlen(end) < total)
        buf_add_str(&b, "A");
    buf_add_str(&b, tail);
    buf_add_str(&b, end);
    buf_add_str(&b, "STAT\r\n");
    return b;
}

/* G08, G09, G10: 255 octets with the line end are a command, 256 are not, at every edge of a buffer. */
static void test_limit(void **state)
{
    static const size_t edges[] = { 510, 1022, 2046, 4094, 8190, 16382, 65530 };

    (void)state;
    for (int bare = 0; bare <= 1; bare++) {
        struct buf b = long_line(LINE_LIMIT, "", bare ? "\n" : "\r\n"), want = BUF_EMPTY;

        buf_add_str(&want, "[");
        buf_add(&want, buf_span(&b).at, (size_t)LINE_LIMIT - (bare ? 1 : 2));
        buf_add_str(&want, "][STAT]");
        expect(buf_span(&b), buf_span(&want).at);
        buf_free(&b);
        buf_free(&want);

        b = long_line(LINE_LIMIT + 1, "", bare ? "\n" : "\r\n");
        expect(buf_span(&b), " LONG [STAT]");
        buf_free(&b);
    }
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        for (size_t len = edges[i]; len < edges[i] + 5; len++) {
            struct buf b = long_line(len, "DELE 1", "\r\n");

            expect(buf_span(&b), " LONG [STAT]");
            buf_free(&b);
        }
    }
}

/* A NUL in a line that is too long is one error, not two. */
static void test_long_with_nul(void **state)
{
    struct buf b = BUF_EMPTY;

    (void)state;
    for (int i = 0; i < 300; i++)
        buf_add(&b, "A", i == 10 || i == 280 ? 2 : 1);      /* "A" and its NUL */
    buf_add_str(&b, "\r\nNOOP\r\n");
    expect(buf_span(&b), " LONG [NOOP]");
    buf_free(&b);
}

/* G11 */
static void test_endless(void **state)
{
    struct buf b = BUF_EMPTY;
    char *junk = malloc(LINE_GIVE_UP);

    (void)state;
    assert_non_null(junk);
    memset(junk, 'A', LINE_GIVE_UP);

    buf_add(&b, junk, LINE_GIVE_UP - 1);
    buf_add_str(&b, "\nNOOP\n");
    expect(buf_span(&b), " LONG [NOOP]");
    buf_clear(&b);

    buf_add(&b, junk, LINE_GIVE_UP);
    buf_add_str(&b, "\nNOOP\n");
    expect(buf_span(&b), " ENDLESS ");
    buf_free(&b);
    free(junk);
}

/* A second line that is too long is told again. */
static void test_twice(void **state)
{
    struct buf b = long_line(400, "", "\r\n"), d = long_line(300, "", "\n");

    (void)state;
    buf_add(&b, buf_span(&d).at, buf_left(&d));
    expect(buf_span(&b), " LONG [STAT] LONG [STAT]");
    buf_free(&b);
    buf_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_long_with_nul),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
