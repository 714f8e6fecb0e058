/* mbox files: separators, where messages begin and end, quoting across every chunk edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "admin/mbox.c"
#include "daemon/base/buf.h"

static int64_t seconds(const char *line)
{
    int64_t t = -1;

    return mbox_separator(span_str(line), &t) == 1 ? t / 1000000 : -1;
}

static void test_separators(void **state)
{
    (void)state;
    assert_int_equal(seconds("From a@b Thu Jan  1 00:00:10 1970"), 10);
    assert_int_equal(seconds("From a@b Thu Jan  1 00:00:10 1970\r\n"), 10);
    assert_int_equal(seconds("From a@b  Thu Jan  1 00:01 1970\n"), 60);
    assert_int_equal(seconds("From MAILER-DAEMON Sun Nov 22 21:45:20 2026"), 1795383920);
    assert_int_equal(seconds("From a@b Sun Nov 22 21:45:20 2026 +0100"), 1795383920 - 3600);
    assert_int_equal(seconds("From a@b Sun Nov 22 21:45:20 -0130 2026"), 1795383920 + 5400);
    assert_int_equal(seconds("From a@b Sun Nov 22 21:45:20 UTC 2026"), 1795383920);
    assert_int_equal(seconds("From a@b Sun, 22 Nov 2026 21:45:20 +0000"), 1795383920);
    assert_int_equal(seconds("From a@b Sun Nov 22 21:45:20 2026 remote from host"), 1795383920);
    assert_int_equal(seconds("From  Sun Nov 22 21:45:20 2026"), 1795383920);
}

/* Text that begins with the word must not cut a message in two. */
static void test_not_separators(void **state)
{
    (void)state;
    assert_int_equal(seconds("From here on all is text"), -1);
    assert_int_equal(seconds("From"), -1);
    assert_int_equal(seconds("From "), -1);
    assert_int_equal(seconds("From: a@b Sun Nov 22 21:45:20 2026"), -1);
    assert_int_equal(seconds(">From a@b Sun Nov 22 21:45:20 2026"), -1);
    assert_int_equal(seconds("From a@b Sun Nov 22 2026"), -1);
    assert_int_equal(seconds("From a@b Sun Nov 22 25:45:20 2026"), -1);
    assert_int_equal(seconds("From 22 Nov we meet at 21:45 each day"), -1);
    assert_int_equal(seconds("from a@b Sun Nov 22 21:45:20 2026"), -1);
}

#define SEP "From a@b Thu Jan  1 00:00:10 1970\n"

/* The messages of a file, each in brackets. */
static void check_scan(struct span file, const char *wanted)
{
    int fd = memfd_create("mbox", MFD_CLOEXEC);
    struct mbox_scan *scan = mbox_scan_new(fd);
    struct buf got = BUF_EMPTY;
    off_t at, end;
    int64_t time;

    assert_int_equal(write(fd, file.at, file.len), file.len);
    while (mbox_next(scan, &at, &end, &time) == 1) {
        assert_true(at <= end && (size_t)end <= file.len);
        assert_int_equal(time, 10000000);
        buf_add(&got, "[", 1);
        buf_add(&got, file.at + at, (size_t)(end - at));
        buf_add(&got, "]", 1);
    }
    assert_string_equal(buf_left(&got) > 0 ? buf_span(&got).at : "", wanted);
    buf_free(&got);
    mbox_scan_free(&scan);
    close(fd);
}

static void test_scan(void **state)
{
    (void)state;
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\n" SEP "B: 2\n\ny\n\n"), "[A: 1\n\nx\n][B: 2\n\ny\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n" SEP "B: 2\n\ny"), "[A: 1\n\nx\n][B: 2\n\ny]");
    check_scan(SPAN_OF(SEP "A: 1\r\n\r\nx\r\n\r\n" SEP "B: 2\r\n\r\n"), "[A: 1\r\n\r\nx\r\n][B: 2\r\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\n\n" SEP "B: 2\n\n\n"), "[A: 1\n\nx\n\n][B: 2\n\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nFrom text\n>From x\n"), "[A: 1\n\nFrom text\n>From x\n]");
    check_scan(SPAN_OF(SEP SEP "B: 2\n\n"), "[][B: 2\n]");
    check_scan(SPAN_OF(SEP "\n" SEP "B: 2\n\n"), "[][B: 2\n]");
    check_scan(SPAN_OF(SEP), "[]");
    check_scan(SPAN_OF(""), "");
    check_scan(SPAN_OF("no mbox\n"), "");
}

/* Lines and separators that lie across the edges of the buffer. */
static void test_scan_edges(void **state)
{
    (void)state;
    for (size_t fill = SCAN_BUFFER - 45; fill <= SCAN_BUFFER + 2; fill++) {
        struct buf file = BUF_EMPTY;
        int fd = memfd_create("mbox", MFD_CLOEXEC);
        struct mbox_scan *scan = mbox_scan_new(fd);
        off_t at, end;
        int64_t time;

        buf_add_str(&file, SEP);
        memset(buf_reserve(&file, fill), 'x', fill);
        buf_commit(&file, fill);
        buf_add_str(&file, "\n\n" SEP "B: 2\n");
        assert_int_equal(write(fd, buf_span(&file).at, buf_left(&file)), buf_left(&file));
        assert_int_equal(mbox_next(scan, &at, &end, &time), 1);
        assert_int_equal(end - at, fill + 1);
        assert_int_equal(mbox_next(scan, &at, &end, &time), 1);
        assert_int_equal(end - at, 5);
        assert_int_equal(mbox_next(scan, &at, &end, &time), 0);
        mbox_scan_free(&scan);
        close(fd);
        buf_free(&file);
    }
}

static void gather(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

static void check_filter(enum mbox_quoting quoting, const char *in, const char *wanted)
{
    size_t len = strlen(in);

    for (size_t a = 0; a <= len; a++)
        for (size_t b = a; b <= len; b++) {
            struct mbox_filter f = { .quoting = quoting };
            struct buf out = BUF_EMPTY;

            mbox_filter_feed(&f, in, a, gather, &out);
            mbox_filter_feed(&f, in + a, b - a, gather, &out);
            mbox_filter_feed(&f, in + b, len - b, gather, &out);
            mbox_filter_end(&f, gather, &out);
            assert_string_equal(buf_left(&out) > 0 ? buf_span(&out).at : "", wanted);
            assert_false(f.inside);
            buf_free(&out);
        }
}

static const char lines[] = "From a\n>From b\n>>From c\nxFrom d\n Fro\n>Frost\n> >From e\nFrom\n>\n\n>From f";

static void test_quote(void **state)
{
    (void)state;
    check_filter(MBOX_QUOTE, lines, ">From a\n>>From b\n>>>From c\nxFrom d\n Fro\n>Frost\n> >From e\nFrom\n>\n\n>>From f");
    check_filter(MBOX_UNQUOTE_RD, lines, "From a\nFrom b\n>From c\nxFrom d\n Fro\n>Frost\n> >From e\nFrom\n>\n\nFrom f");
    check_filter(MBOX_UNQUOTE_O, lines, "From a\nFrom b\n>>From c\nxFrom d\n Fro\n>Frost\n> >From e\nFrom\n>\n\nFrom f");
    check_filter(MBOX_PLAIN, lines, lines);
    check_filter(MBOX_QUOTE, "", "");
    check_filter(MBOX_QUOTE, ">>", ">>");
    check_filter(MBOX_QUOTE, "From ", ">From ");
}

static void test_round_trip(void **state)
{
    static const char alphabet[] = ">F\nx";

    (void)state;
    /* "From " stands in the place of F, so that short texts meet all states. */
    for (unsigned n = 0; n < 4 * 4 * 4 * 4 * 4 * 4; n++) {
        struct mbox_filter quote = { .quoting = MBOX_QUOTE }, unquote = { .quoting = MBOX_UNQUOTE_RD };
        struct buf in = BUF_EMPTY, there = BUF_EMPTY, back = BUF_EMPTY;

        for (unsigned i = 0, k = n; i < 6; i++, k /= 4)
            if (alphabet[k % 4] == 'F')
                buf_add_str(&in, "From ");
            else
                buf_add(&in, &alphabet[k % 4], 1);
        mbox_filter_feed(&quote, buf_span(&in).at, buf_left(&in), gather, &there);
        mbox_filter_end(&quote, gather, &there);
        mbox_filter_feed(&unquote, buf_span(&there).at, buf_left(&there), gather, &back);
        mbox_filter_end(&unquote, gather, &back);
        assert_string_equal(buf_span(&back).at, buf_span(&in).at);
        assert_true(strncmp(buf_span(&there).at, "From ", 5) != 0 && strstr(buf_span(&there).at, "\nFrom ") == NULL);
        buf_free(&in);
        buf_free(&there);
        buf_free(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separators), cmocka_unit_test(test_not_separators), cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_edges), cmocka_unit_test(test_quote), cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
