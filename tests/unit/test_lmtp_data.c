/*
 * Framing of DATA and BDAT against a reference that looks at the whole stream:
 * every cut into up to three parts, and octet by octet, must give the same
 * octets, end and findings (LD03-LD06, LD08, LD09, LV10).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/lmtp/data.h"

struct outcome {
    struct buf out;
    bool ended, bare, nul;
    size_t used;
};

static const struct span streams[] = {
    SPAN_OF(".\r\n"),                                                   /* LD06: empty */
    SPAN_OF("a\r\n.\r\n"),
    SPAN_OF("a\r\n.\r\nMAIL FROM:<x@y>\r\n"),                           /* what follows is not ours */
    SPAN_OF("..\r\n..x\r\n.x\r\n.\r\n"),                                /* LD03 */
    SPAN_OF("...\r\n.\r\n"),
    /* LD04: none of these ends the data. */
    SPAN_OF("a\n.\nMAIL FROM:<evil@x>\r\nb\r\n.\r\n"),
    SPAN_OF("a\n.\r\nMAIL FROM:<evil@x>\r\nb\r\n.\r\n"),
    SPAN_OF("a\r\n.\nMAIL FROM:<evil@x>\r\nb\r\n.\r\n"),
    SPAN_OF("a\r.\rMAIL FROM:<evil@x>\r\nb\r\n.\r\n"),
    SPAN_OF("a\r\n.\rMAIL FROM:<evil@x>\r\nb\r\n.\r\n"),
    SPAN_OF("a\r.\r\nMAIL FROM:<evil@x>\r\nb\r\n.\r\n"),
    SPAN_OF("a\n\n.\n\r\n.\r\n"),
    SPAN_OF("\n.\r\n\r\n.\r\n"),
    SPAN_OF("\r.\r\n\r\n.\r\n"),
    SPAN_OF("a\r\n\r.\r\n\r\n.\r\n"),
    SPAN_OF("a\r\n.\r\r\nb\r\n.\r\n"),
    /* LD05 */
    SPAN_OF("a\nb\r\n.\r\n"),
    SPAN_OF("a\rb\r\n.\r\n"),
    SPAN_OF("a\r\r\nb\r\n.\r\n"),
    SPAN_OF("a\n\rb\r\n.\r\n"),
    SPAN_OF("\r\r\r\n.\r\n"),
    SPAN_OF("a\0b\r\n\0\r\n.\0\r\n..\0\r\n.\r\n"),                      /* LD08 */
    SPAN_OF("a\0\n\0\r\0\r\n.\r\n"),
    SPAN_OF("no end"),                                                  /* LE10 */
    SPAN_OF("no end\r\n."),
    SPAN_OF("no end\r\n.\r"),
    SPAN_OF("no end\r"),
    SPAN_OF("\xff\x80\xc3\xbc\r\n.\r\n"),
};

/*
 * The plain way: lines are what CRLF parts; the first that is one dot is the
 * end; one leading dot goes; then what is left of CR and LF becomes CRLF.
 */
static struct outcome reference(struct span in, bool dots, bool last)
{
    struct outcome o = { .out = BUF_EMPTY };
    struct buf raw = BUF_EMPTY;
    size_t at = 0;

    while (at < in.len) {
        const char *eol = memmem(in.at + at, in.len - at, "\r\n", 2);
        size_t len = eol != NULL ? (size_t)(eol - in.at) - at : in.len - at;
        if (dots && eol != NULL && len == 1 && in.at[at] == '.') {
            o.ended = true;
            at += 3;
            break;
        }
        if (dots && len > 0 && in.at[at] == '.')
            buf_add(&raw, in.at + at + 1, len - 1);
        else
            buf_add(&raw, in.at + at, len);
        if (eol != NULL)
            buf_add(&raw, "\r\n", 2);
        at += len + (eol != NULL ? 2 : 0);
    }
    o.used = at;
    for (size_t i = raw.at; i < raw.len; i++) {
        char c = raw.data[i];
        if (c == '\r' && i + 1 < raw.len && raw.data[i + 1] == '\n') {
            buf_add(&o.out, "\r\n", 2);
            i++;
        } else if (c == '\r' || c == '\n') {
            buf_add(&o.out, "\r\n", 2);
            o.bare = true;
        } else {
            o.nul = o.nul || c == '\0';
            buf_add(&o.out, &c, 1);
        }
    }
    if (last && raw.len > raw.at && raw.data[raw.len - 1] != '\n' && raw.data[raw.len - 1] != '\r')
        buf_add(&o.out, "\r\n", 2);
    buf_free(&raw);
    return o;
}

static void put(void *arg, struct span out)
{
    assert_true(out.len > 0);
    buf_add(arg, out.at, out.len);
}

/* In parts that end at these places; each in memory of its own, so that reading behind it shows. */
static struct outcome decode(struct span in, bool dots, bool last, const size_t *ends, size_t count)
{
    struct data_decoder d = DATA_START(dots);
    struct outcome o = { .out = BUF_EMPTY };
    size_t from = 0;

    for (size_t i = 0; i < count && d.state != DATA_END; i++) {
        size_t len = ends[i] - from;
        char *copy = malloc(len > 0 ? len : 1);
        memcpy(copy, in.at + from, len);
        size_t used = data_decode(&d, (struct span){ copy, len }, put, &o.out);
        free(copy);
        assert_true(used == len || d.state == DATA_END);
        o.used += used;
        from = ends[i];
    }
    o.ended = d.state == DATA_END;
    if (last)
        data_finish(&d, put, &o.out);
    o.bare = d.bare;
    o.nul = d.nul;
    return o;
}

/* While the stream has no end yet, what is held back (a dot, a CR) may be missing at the end. */
static void check(struct span in, bool dots, const size_t *ends, size_t count)
{
    struct outcome want = reference(in, dots, !dots), got = decode(in, dots, !dots, ends, count);

    if (want.ended || !dots) {
        assert_int_equal(got.used, want.used);
        assert_int_equal(got.bare, want.bare);
        assert_int_equal(buf_left(&got.out), buf_left(&want.out));
    }
    assert_int_equal(got.ended, want.ended);
    assert_int_equal(got.nul, want.nul);
    assert_true(buf_left(&got.out) <= buf_left(&want.out));
    assert_memory_equal(buf_span(&got.out).at, buf_span(&want.out).at, buf_left(&got.out));
    buf_free(&want.out);
    buf_free(&got.out);
}

static void all_cuts(struct span in, bool dots)
{
    size_t ends[200];

    for (size_t a = 0; a <= in.len; a++)
        for (size_t b = a; b <= in.len; b++)
            check(in, dots, (size_t[]){ a, b, in.len }, 3);
    assert_true(in.len <= 200);
    for (size_t i = 0; i < in.len; i++)
        ends[i] = i + 1;
    check(in, dots, ends, in.len);
}

static void test_data(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++)
        all_cuts(streams[i], true);
}

/* LV10: the same octets in chunks are all text. */
static void test_chunks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++)
        all_cuts(streams[i], false);
    all_cuts(SPAN_OF(""), false);
}

/* All streams of a few octets that matter. */
static void test_every_short_stream(void **state)
{
    static const char octets[] = { '\r', '\n', '.', 'x', '\0' };
    char in[12];

    (void)state;
    for (unsigned long n = 0; n < 5ul * 5 * 5 * 5 * 5 * 5 * 5; n++) {
        unsigned long rest = n;
        for (size_t i = 0; i < 7; i++, rest /= 5)
            in[i] = octets[rest % 5];
        memcpy(in + 7, "\r\n.\r\n", 5);
        check((struct span){ in, 12 }, true, (size_t[]){ 12 }, 1);
        check((struct span){ in, 12 }, true, (size_t[]){ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, 12);
        check((struct span){ in, 7 }, false, (size_t[]){ 7 }, 1);
        check((struct span){ in, 7 }, false, (size_t[]){ 1, 2, 3, 4, 5, 6, 7 }, 7);
    }
}

static void count_runs(void *arg, struct span out)
{
    (void)out;
    ++*(size_t *)arg;
}

/* What is canonical passes through in one piece: no work for each line. */
static void test_canonical_is_one_run(void **state)
{
    struct data_decoder d = DATA_START(true);
    struct buf in = BUF_EMPTY;
    size_t runs = 0;

    (void)state;
    for (int i = 0; i < 500; i++)
        buf_addf(&in, "line %d of a message\r\n", i);
    data_decode(&d, buf_span(&in), count_runs, &runs);
    assert_int_equal(runs, 1);
    buf_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_every_short_stream),
        cmocka_unit_test(test_canonical_is_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
