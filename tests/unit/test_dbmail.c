/* Messages of DBMail, put together from their parts; whole ones are in tests/system/test_import_dbmail.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/dbmail.c"
#include "daemon/base/buf.h"

static void gather(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

struct part {
    bool header;
    int depth;
    const char *data;
};

static void check(const struct part *parts, const char *wanted)
{
    struct dbmail_join join;
    struct buf out = BUF_EMPTY;

    dbmail_join_begin(&join, gather, &out);
    for (; parts->data != NULL; parts++)
        assert_true(dbmail_join_part(&join, parts->header, parts->depth, span_str(parts->data)));
    dbmail_join_end(&join);
    assert_string_equal(buf_span(&out).at, wanted);
    buf_free(&out);
}

/* How a boundary is written. */
static void boundaries(void **state)
{
    static const struct {
        const char *field, *boundary;
    } fields[] = {
        { "Content-Type: multipart/mixed; boundary=b", "b" }, { "content-type: Multipart/Mixed; Boundary=b", "b" },
        { "Content-Type: multipart/mixed; boundary=\"b\"", "b" }, { "Content-Type: multipart/mixed;\n\tboundary=\"=_b/1\"", "=_b/1" },
        { "Content-Type: multipart/mixed; charset=\"a;b\"; boundary=b", "b" }, { "Content-Type: multipart/mixed; boundary=\"a\\\"b\"", "a\"b" },
        { "Content-Type: multipart/mixed; boundary=a=b", "a=b" }, { "Content-Type: multipart/mixed (x; boundary=no); boundary=b", "b" },
        { "Content-Type: multipart / mixed ; boundary = b ; x=y", "b" }, { "Content-Type: multipart/mixed; boundary=b; boundary=c", "b" },
        { "Content-Type: multipart/mixed; boundary=\"b", "b" }, { "A: x\nContent-Type: multipart/mixed; boundary=b\nB: boundary=c", "b" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct buf header = BUF_EMPTY, wanted = BUF_EMPTY;

        buf_addf(&header, "%s\n", fields[i].field);
        buf_addf(&wanted, "%s\n\n--%s\nA: 1\n\nx\n--%s--\n", fields[i].field, fields[i].boundary, fields[i].boundary);
        check((const struct part[]){ { true, 0, buf_span(&header).at }, { true, 1, "A: 1\n" }, { false, 1, "x" }, { false, 0, NULL } },
              buf_span(&wanted).at);
        buf_free(&header);
        buf_free(&wanted);
    }
}

static void shapes(void **state)
{
    char longer[400], header[500];

    (void)state;
    check((const struct part[]){ { false, 0, NULL } }, "");
    check((const struct part[]){ { true, 0, "A: 1\n" }, { false, 0, "x\r\n" }, { false, 0, NULL } }, "A: 1\n\nx\r\n");
    /* No type, a type without a space behind the colon, and no boundary. */
    check((const struct part[]){ { true, 0, "Content-Type:multipart/mixed; boundary=b\n" }, { true, 1, "B: 1\n" }, { false, 1, "x" },
                                 { false, 0, NULL } }, "Content-Type:multipart/mixed; boundary=b\n\n\n--\nB: 1\n\nx");
    /* An end of several parts, and what stands behind it. */
    check((const struct part[]){ { true, 0, "Content-Type: multipart/a; boundary=a\n" }, { true, 1, "Content-Type: multipart/b; boundary=b\n" },
                                 { true, 2, "C: 1\n" }, { false, 2, "x" }, { false, 0, "epilogue" }, { false, 0, NULL } },
          "Content-Type: multipart/a; boundary=a\n\n--a\nContent-Type: multipart/b; boundary=b\n\n--b\nC: 1\n\nx\n--b--\n\n--a--\nepilogue");
    /* A prologue alone. */
    check((const struct part[]){ { true, 0, "Content-Type: multipart/a; boundary=a\n" }, { false, 0, "x\n" }, { false, 0, NULL } },
          "Content-Type: multipart/a; boundary=a\n\nx\n\n");
    check((const struct part[]){ { true, 0, "Content-Type: multipart/a\nContent-Type: text/plain\n" }, { false, 0, "x\n" }, { false, 0, NULL } },
          "Content-Type: multipart/a\nContent-Type: text/plain\n\nx\n");
    /* Longer than DBMail keeps. */
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    snprintf(header, sizeof header, "Content-Type: multipart/a; boundary=%s\n", longer);
    struct dbmail_join join;
    struct buf out = BUF_EMPTY;
    dbmail_join_begin(&join, gather, &out);
    assert_true(dbmail_join_part(&join, true, 0, span_str(header)));
    buf_clear(&out);
    assert_true(dbmail_join_part(&join, true, 1, SPAN_OF("")));
    assert_int_equal(buf_left(&out), 2 + DBMAIL_BOUNDARY - 1 + 1 + 1);
    assert_false(dbmail_join_part(&join, true, DBMAIL_DEPTH + 1, SPAN_OF("")));
    assert_false(dbmail_join_part(&join, true, -1, SPAN_OF("")));
    assert_true(dbmail_join_part(&join, true, DBMAIL_DEPTH, SPAN_OF("A\0B")));
    assert_null(memchr(buf_span(&out).at, '\0', buf_left(&out)));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(boundaries), cmocka_unit_test(shapes) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
