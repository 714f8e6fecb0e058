/*
 * Byte-stuffing and TOP, against a plain reference that works on the whole
 * message: every cut of tricky bodies into up to three parts must give the
 * same octets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/pop3/stuff.h"

enum { WHOLE = -1 };

static const struct span bodies[] = {
    SPAN_OF(""),
    SPAN_OF("\r\n"),
    SPAN_OF(".\r\n"),
    SPAN_OF("..\r\n"),
    SPAN_OF("..."),
    SPAN_OF("."),
    SPAN_OF("\r\n.\r\n"),
    SPAN_OF("\r\n.x\r\n..\r\n.\r\n"),
    SPAN_OF("A: b\r\n\r\n.\r\n.."),
    SPAN_OF("A: b\r\n\r\none\r\n.two\r\n...three\r\nx.y.z\r\n.\r\n"),
    SPAN_OF("A: b\r\n"),                            /* Y17, and without the blank line */
    SPAN_OF("A: b"),                                /* Y05 */
    SPAN_OF("A: b\r\n\r\n"),
    SPAN_OF("A: b\r\n\r\n\r\n\r\n1\r\n\r\n"),       /* Y06 */
    SPAN_OF(".A: b\r\n.\r\n\r\n1\r\n2\r\n3\r\n4"),
    SPAN_OF("A: b\n\na\n.\nb\n"),                   /* Y04: bare LF */
    SPAN_OF("A: b\r\n\r\na\r.\rb\r"),               /* Y04: bare CR */
    SPAN_OF("A: b\r\r\n.\r\r\n\r\nx\r\r\n.\n\r.\r\n"),
    SPAN_OF("A: \0b\r\n\0\r\n\r\n\0.\0\r\n.\0"),    /* Y08 */
    SPAN_OF("\n\n.\n"),
    SPAN_OF("\r.\n.\r\n"),
};

/* The whole answer after the +OK line, and the octets of the message in it. */
static size_t reference(struct span m, long lines, struct buf *out)
{
    size_t end = m.len, at = 0;

    if (lines != WHOLE) {
        bool header = true;

        while (at < m.len && (header || lines > 0)) {
            size_t from = at;

            while (at < m.len && m.at[at] != '\n')
                at++;
            if (at < m.len)
                at++;
            else
                break;
            if (!header)
                lines--;
            else if (at - from == 1 || (at - from == 2 && m.at[from] == '\r'))
                header = false;
        }
        end = at;
    }
    for (at = 0; at < end; at++) {
        if (m.at[at] == '.' && (at == 0 || m.at[at - 1] == '\n' || m.at[at - 1] == '\r'))
            buf_add(out, ".", 1);
        buf_add(out, m.at + at, 1);
    }
    if (end > 0 && !(end > 1 && m.at[end - 2] == '\r' && m.at[end - 1] == '\n'))
        buf_add(out, "\r\n", 2);
    buf_add(out, ".\r\n", 3);
    return end;
}

static void feed(struct stuff *st, struct span part, struct buf *out)
{
    struct span rest = stuff_cut(st, part);
    struct stuff_run run;

    while (stuff_next(st, &rest, &run)) {
        assert_true(run.bytes.len > 0);
        if (run.dot)
            buf_add(out, ".", 1);
        buf_add(out, run.bytes.at, run.bytes.len);
    }
    assert_int_equal(rest.len, 0);
}

static void begin(struct stuff *st, long lines)
{
    if (lines == WHOLE)
        stuff_whole(st);
    else
        stuff_top(st, (uint64_t)lines);
}

static void same(struct stuff *st, struct buf *out, const struct buf *want, size_t octets)
{
    struct span end = stuff_end(st);

    buf_add(out, end.at, end.len);
    assert_int_equal(buf_left(out), buf_left(want));
    assert_memory_equal(buf_span(out).at, buf_span(want).at, buf_left(want));
    assert_int_equal(st->octets, octets);
}

/* As the session feeds it: no further part is asked for once TOP has enough. */
static void in_parts(struct span m, long lines, size_t a, size_t b, const struct buf *want, size_t octets)
{
    struct span parts[3] = { { m.at, a }, { m.at + a, b - a }, { m.at + b, m.len - b } };
    struct buf out = BUF_EMPTY;
    struct stuff st;

    begin(&st, lines);
    for (int i = 0; i < 3 && !st.enough; i++)
        feed(&st, parts[i], &out);
    same(&st, &out, want, octets);
    buf_free(&out);
}

/* Y02-Y06, Y13, Y14, Y17 */
static void test_every_cut(void **state)
{
    static const long lines[] = { WHOLE, 0, 1, 2, 3, 4, 5, 1000000 };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        for (size_t l = 0; l < sizeof lines / sizeof lines[0]; l++) {
            struct buf want = BUF_EMPTY;
            size_t octets = reference(bodies[i], lines[l], &want);

            for (size_t a = 0; a <= bodies[i].len; a++) {
                for (size_t b = a; b <= bodies[i].len; b++)
                    in_parts(bodies[i], lines[l], a, b, &want, octets);
            }
            buf_free(&want);
        }
    }
}

static void test_octet_by_octet(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        for (long lines = WHOLE; lines < 6; lines++) {
            struct buf want = BUF_EMPTY, out = BUF_EMPTY;
            size_t octets = reference(bodies[i], lines, &want);
            struct stuff st;

            begin(&st, lines);
            for (size_t at = 0; at < bodies[i].len && !st.enough; at++)
                feed(&st, (struct span){ bodies[i].at + at, 1 }, &out);
            same(&st, &out, &want, octets);
            buf_free(&want);
            buf_free(&out);
        }
    }
}

/* Y03: CR, LF and dot on each side of a buffer's edge. */
static void test_edges(void **state)
{
    static const size_t edges[] = { 4096, 8000, 8192, 16384, 32768, 65536 };

    (void)state;
    for (size_t e = 0; e < sizeof edges / sizeof edges[0]; e++) {
        for (size_t shift = 0; shift < 5; shift++) {
            struct buf m = BUF_EMPTY, want = BUF_EMPTY;
            size_t octets;

            buf_add_str(&m, "A: b\r\n\r\n");
            while (buf_left(&m) < edges[e] - shift)
                buf_add_str(&m, "x");
            buf_add_str(&m, "\r\n.\r\n.tail\r\n");
            octets = reference(buf_span(&m), WHOLE, &want);
            in_parts(buf_span(&m), WHOLE, edges[e], edges[e], &want, octets);
            in_parts(buf_span(&m), WHOLE, edges[e] - 1, edges[e] + 1, &want, octets);
            buf_free(&m);
            buf_free(&want);
        }
    }
}

/* Random bodies of the octets that matter, in random parts. */
static void test_random(void **state)
{
    static const char letters[] = "..\r\r\n\nx";
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char body[24];
        size_t len = (size_t)rand_r(&seed) % sizeof body;
        long lines = rand_r(&seed) % 6 - 1;
        struct buf want = BUF_EMPTY, out = BUF_EMPTY;
        struct stuff st;
        size_t octets, at = 0;

        for (size_t i = 0; i < len; i++)
            body[i] = letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
        octets = reference((struct span){ body, len }, lines, &want);
        begin(&st, lines);
        while (at < len && !st.enough) {
            size_t n = 1 + (size_t)rand_r(&seed) % 4;

            if (n > len - at)
                n = len - at;
            feed(&st, (struct span){ body + at, n }, &out);
            at += n;
        }
        same(&st, &out, &want, octets);
        buf_free(&want);
        buf_free(&out);
    }
}

/* Y16: the largest number of lines is the whole message, and never wraps. */
static void test_top_huge(void **state)
{
    struct span m = SPAN_OF("A: b\r\n\r\n1\r\n2\r\n");
    struct buf want = BUF_EMPTY, out = BUF_EMPTY;
    size_t octets = reference(m, WHOLE, &want);
    struct stuff st;

    (void)state;
    stuff_top(&st, UINT64_MAX);
    feed(&st, m, &out);
    assert_false(st.enough);
    same(&st, &out, &want, octets);
    buf_free(&want);
    buf_free(&out);
}

/* TOP says that it has enough as soon as it does, so that no further piece is read. */
static void test_top_enough(void **state)
{
    struct buf out = BUF_EMPTY;
    struct stuff st;

    (void)state;
    stuff_top(&st, 0);
    feed(&st, SPAN_OF("A: b\r\n\r"), &out);
    assert_false(st.enough);
    feed(&st, SPAN_OF("\n"), &out);
    assert_true(st.enough);

    stuff_top(&st, 1);
    feed(&st, SPAN_OF("A: b\r\n\r\none\r"), &out);
    assert_false(st.enough);
    feed(&st, SPAN_OF("\ntwo"), &out);
    assert_true(st.enough);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_octet_by_octet),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_top_huge),
        cmocka_unit_test(test_top_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
