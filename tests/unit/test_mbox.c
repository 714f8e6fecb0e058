/* mbox files: where messages begin and end, quoting across every chunk edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "admin/mail/fromline.c"
#include "admin/mail/mbox.c"
#include "admin/mail/state.c"
#include "daemon/base/buf.h"

#define SEP "From a@b Thu Jan  1 00:00:10 1970\n"

/* Doubts are told among the messages: "?" and the number of the line. */
static void note_doubt(void *arg, uint64_t line, const char *what)
{
    assert_non_null(what);
    buf_addf(arg, "?%llu", (unsigned long long)line);
}

static int file_of(struct span file)
{
    int fd = memfd_create("mbox", MFD_CLOEXEC);

    assert_int_equal(write(fd, file.at, file.len), file.len);
    return fd;
}

/* The messages of a file, each in brackets, "u" behind it if it has From_ lines that are not quoted. */
static void check_how(bool keep, struct span file, const char *wanted)
{
    int fd = file_of(file);
    struct buf got = BUF_EMPTY;
    struct mbox_scan *scan = mbox_scan_new(fd, keep, note_doubt, &got);
    struct mbox_message m;
    uint64_t count = 0;

    for (; mbox_next(scan, &m) == 1; count++) {
        assert_true(m.at <= m.end && (size_t)m.end <= file.len);
        buf_add(&got, "[", 1);
        buf_add(&got, file.at + m.at, (size_t)(m.end - m.at));
        buf_add_str(&got, m.unquoted ? "]u" : "]");
    }
    assert_int_equal(mbox_next(scan, &m), 0);
    assert_int_equal(mbox_separators(scan), count);
    assert_string_equal(buf_left(&got) > 0 ? buf_span(&got).at : "", wanted);
    buf_free(&got);
    mbox_scan_free(&scan);
    close(fd);
}

static void check_scan(struct span file, const char *wanted)
{
    check_how(false, file, wanted);
}

static void test_scan(void **state)
{
    (void)state;
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\n" SEP "B: 2\n\ny\n\n"), "[A: 1\n\nx\n][B: 2\n\ny\n]");
    check_scan(SPAN_OF(SEP "A: 1\r\n\r\nx\r\n\r\n" SEP "B: 2\r\n\r\n"), "[A: 1\r\n\r\nx\r\n][B: 2\r\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\n\n" SEP "B: 2\n\n\n"), "[A: 1\n\nx\n\n][B: 2\n\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nFrom text\n>From x\n"), "[A: 1\n\nFrom text\n>From x\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\n\n" SEP "\n\n" SEP "B: 2\n\nno end"), "[A: 1\n\n][\n][B: 2\n\nno end]");
    check_scan(SPAN_OF(SEP "\n" SEP "B: 2\n\n"), "[][B: 2\n]");
    check_scan(SPAN_OF(SEP), "[]");
    check_scan(SPAN_OF(""), "");
    check_scan(SPAN_OF("\n\n"), "");
    check_scan(SPAN_OF("no mbox\n\n" SEP "A: 1\n"), "");
}

/* Separators that have no date, or one of another form. */
static void test_other_separators(void **state)
{
    static const char *const separators[] = {
        "From ", "From - ", "From -", "From a@b", "From a@b gestern um neun", "From a@b 2026-11-22T21:45:20Z", "From a@b 2026-11-22 21:45:20 +0100",
        "From a@b Thu Jan  1 9:00:00 2026", "From a@b Thu Jan 1 09:00:00 26", "From a@b Thursday January 1 09:00:00 2026", "From anna vorgestern",
    };
    struct buf file = BUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < sizeof separators / sizeof separators[0]; i++) {
        buf_clear(&file);
        buf_addf(&file, "%s\nA: 1\n\nx\n\n%s\nB: 2\n\ny\n\n%s\nC: 3\n\n", separators[i], separators[i], separators[i]);
        check_scan(buf_span(&file), "[A: 1\n\nx\n][B: 2\n\ny\n][C: 3\n]");
    }
    buf_free(&file);
    /* What is no From_ line as any program writes it, in an mbox whose others are: the header behind it tells. */
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\nFrom anna, vorgestern\nSubject: b\nTo: c\n\n"), "?6[A: 1\n\nx\n][Subject: b\nTo: c\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\nFrom the desk of Anna\nTel: 1\n\n"), "?6[A: 1\n\nx\n\nFrom the desk of Anna\nTel: 1\n]");
    /* In front of the first one. */
    check_scan(SPAN_OF("\n\r\n" SEP "A: 1\n\n" SEP "B: 2\n"), "[A: 1\n][B: 2\n]");
    check_scan(SPAN_OF(">" SEP "A: 1\n\n" SEP "B: 2\n"), "[A: 1\n][B: 2\n]");
}

/* A line of text must not cut a message in two. */
static void test_text(void **state)
{
    (void)state;
    check_scan(SPAN_OF(SEP "A: 1\n\nThe room is taken\nFrom Mon 5 Jan 2026 08:30 until noon.\nCome later.\n"),
               "[A: 1\n\nThe room is taken\nFrom Mon 5 Jan 2026 08:30 until noon.\nCome later.\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\nFrom Mon 5 Jan 2026 08:30 until noon.\nNote: later\n"),
               "?6[A: 1\n\nx\n\nFrom Mon 5 Jan 2026 08:30 until noon.\nNote: later\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nFrom a@b Thu Jan  1 00:00:10 1970\nis how an mbox looks.\n"),
               "?4[A: 1\n\nFrom a@b Thu Jan  1 00:00:10 1970\nis how an mbox looks.\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nFrom the docs:\nhttp://x/y\n"), "[A: 1\n\nFrom the docs:\nhttp://x/y\n]");
    /* Files that were put together without an empty line between them. */
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n" SEP "B: 2\n\ny"), "?5[A: 1\n\nx\n][B: 2\n\ny]");
    check_scan(SPAN_OF(SEP "A: 1\n" SEP "B: 2\n"), "?3[A: 1\n][B: 2\n]");
    /* What our own export writes for a message without a header. */
    check_scan(SPAN_OF(SEP "A: 1\n\nFrom MAILER-DAEMON Thu Jan  1 00:00:10 1970\njust text\n\n"), "[A: 1\n][just text\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\nFrom MAILER-DAEMON Thu Jan  1 00:00:10 1970\n\nempty header\n\n"), "[A: 1\n][\nempty header\n]");
    /* Headers that do not begin with a field. */
    check_scan(SPAN_OF(SEP "A: 1\n\n" SEP " boundary=x\nB: 2\n\n"), "[A: 1\n][ boundary=x\nB: 2\n]");
}

static void test_left_over(void **state)
{
    (void)state;
    check_scan(SPAN_OF(SEP ">From - Thu Jan 1 1970 00:00:10\nA: 1\n\n" SEP ">>From x\n>" SEP "B: 2\n\n" SEP SEP "C: 3\n"),
               "[A: 1\n][B: 2\n][C: 3\n]");
    check_how(true, SPAN_OF(SEP ">From - x\nA: 1\n\n" SEP SEP "C: 3\n"), "[>From - x\nA: 1\n][][C: 3\n]");
    check_scan(SPAN_OF(SEP ">From here it is text\n\n"), "[>From here it is text\n]");
    check_scan(SPAN_OF(SEP SEP), "[][]");
}

static void test_content_length(void **state)
{
    (void)state;
    /* mboxcl2: lines are not quoted, the length tells. */
    check_scan(SPAN_OF(SEP "Content-Length: 44\n\nx\n\nFrom a@b Thu Jan  1 00:00:10 1970\nSub: x\n\n" SEP "B: 2\n"),
               "?6[Content-Length: 44\n\nx\n\nFrom a@b Thu Jan  1 00:00:10 1970\nSub: x\n]u[B: 2\n]");
    check_scan(SPAN_OF(SEP "Content-Length: 12\n\nFrom me\nxxx\n" SEP "B: 2\n"), "[Content-Length: 12\n\nFrom me\nxxx\n]u[B: 2\n]");
    check_scan(SPAN_OF(SEP "content-length:  3 \r\n\r\n\n\n\n\n" SEP "B: 2\n"), "[content-length:  3 \r\n\r\n\n\n\n][B: 2\n]");
    check_scan(SPAN_OF(SEP "Content-Length: 0\n\n" SEP "B: 2\n"), "[Content-Length: 0\n\n][B: 2\n]");
    /* To the end, with and without a last empty line; the end of a line is no must. */
    check_scan(SPAN_OF(SEP "Content-Length: 4\n\nx\n\ny"), "[Content-Length: 4\n\nx\n\ny]");
    check_scan(SPAN_OF(SEP "Content-Length: 4\n\nx\n\ny\n"), "[Content-Length: 4\n\nx\n\ny]");
    check_scan(SPAN_OF(SEP "Content-Length: 1\n\nx\n" SEP "B: 2\n"), "[Content-Length: 1\n\nx][B: 2\n]");
    /* One that is wrong is not believed: too short, too long, into another message, no number, two that differ. */
    for (int i = 0; i < 7; i++) {
        static const char *const wrong[] = {
            "Content-Length: 1", "Content-Length: 4", "Content-Length: 1000", "Content-Length: 40", "Content-Length: -2",
            "Content-Length: 99999999999999999999", "Content-Length: 0\nContent-Length: 2",
        };
        struct buf file = BUF_EMPTY, want = BUF_EMPTY;

        buf_addf(&file, SEP "%s\n\nx\n\n" SEP "B: 2\n\n", wrong[i]);
        buf_addf(&want, "[%s\n\nx\n][B: 2\n]", wrong[i]);
        check_scan(buf_span(&file), buf_span(&want).at);
        buf_free(&file);
        buf_free(&want);
    }
    check_scan(SPAN_OF(SEP "A: 1\n\nContent-Length: 2\n\nx\n\n" SEP "B: 2\n"), "[A: 1\n\nContent-Length: 2\n\nx\n][B: 2\n]");
}

static struct mbox_message first_of(struct span file)
{
    int fd = file_of(file);
    struct buf doubts = BUF_EMPTY;
    struct mbox_scan *scan = mbox_scan_new(fd, false, note_doubt, &doubts);
    struct mbox_message m;

    assert_int_equal(mbox_next(scan, &m), 1);
    mbox_scan_free(&scan);
    buf_free(&doubts);
    close(fd);
    return m;
}

static void test_time_and_state(void **state)
{
    struct mbox_message m = first_of(SPAN_OF(SEP "Date: Thu, 1 Jan 1970 00:00:20 +0000\n\n"));

    (void)state;
    assert_true(m.has_time && !m.time_of_field && m.time == 10000000 && m.state == 0);
    m = first_of(SPAN_OF("From - \nDate: Thu, 1 Jan 1970 00:00:20 +0000\nX-Mozilla-Status: 0009\n\nX-Status: T\n"));
    assert_true(m.has_time && m.time_of_field && m.time == 20000000 && m.state == STATE_DELETED);
    m = first_of(SPAN_OF("From - \nA: 1\n\nDate: Thu, 1 Jan 1970 00:00:20 +0000\n"));
    assert_false(m.has_time);
}

/* Lines, separators and what is behind them across the edges of the buffer. */
/* Octets 0 that a crash left in front of a separator, in a line of their own or behind the beginning of one. */
static void test_holes(void **state)
{
    static const char many[2000] = { 0 };
    struct buf file = BUF_EMPTY;

    (void)state;
    check_scan(SPAN_OF(SEP "A: 1\n\nx\n\n\0\0\0" SEP "B: 2\n\n"), "?6[A: 1\n\nx\n][B: 2\n]");
    check_scan(SPAN_OF(SEP "A: 1\n\ncut he\0\0" SEP "Subject: 2\n\n"), "?4[A: 1\n\ncut he][Subject: 2\n]");
    check_scan(SPAN_OF(SEP "A\0: 1\n\0" SEP "B: 2\n\n"), "?3[A");
    buf_add_str(&file, SEP "A: 1\n\nx\n");
    buf_add(&file, many, sizeof many);
    buf_add_str(&file, SEP "B: 2\n\ny\n");
    check_scan(buf_span(&file), "?5[A: 1\n\nx\n][B: 2\n\ny\n]");
    buf_free(&file);
    /* No header behind it, no date in it: text. (What is compared ends at the first octet 0.) */
    check_scan(SPAN_OF(SEP "A: 1\n\nx\0" SEP "text\n"), "[A: 1\n\nx");
    check_scan(SPAN_OF(SEP "A: 1\n\nx\0From here\nB: 2\n\n"), "[A: 1\n\nx");
}

static void test_scan_edges(void **state)
{
    (void)state;
    for (size_t fill_up = SCAN_BUFFER - 5000; fill_up <= SCAN_BUFFER + 2; fill_up += fill_up < SCAN_BUFFER - 100 ? 37 : 1)
        for (int long_line = 0; long_line < 2; long_line++) {
            struct buf file = BUF_EMPTY, doubts = BUF_EMPTY;
            struct mbox_scan *scan;
            struct mbox_message m;
            int fd;

            buf_add_str(&file, SEP);
            memset(buf_reserve(&file, fill_up), long_line != 0 ? 'x' : '\n', fill_up);
            buf_commit(&file, fill_up);
            buf_add_str(&file, "\n\n" SEP "B: 2\n");
            fd = file_of(buf_span(&file));
            scan = mbox_scan_new(fd, false, note_doubt, &doubts);
            assert_int_equal(mbox_next(scan, &m), 1);
            assert_int_equal(m.end - m.at, fill_up + 1);
            assert_int_equal(mbox_next(scan, &m), 1);
            assert_int_equal(m.end - m.at, 5);
            assert_int_equal(mbox_next(scan, &m), 0);
            assert_int_equal(buf_left(&doubts), 0);
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
        cmocka_unit_test(test_scan), cmocka_unit_test(test_other_separators), cmocka_unit_test(test_text), cmocka_unit_test(test_left_over),
        cmocka_unit_test(test_content_length), cmocka_unit_test(test_time_and_state), cmocka_unit_test(test_holes),
        cmocka_unit_test(test_scan_edges),
        cmocka_unit_test(test_quote), cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
