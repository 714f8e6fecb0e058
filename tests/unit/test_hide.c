/* Header fields that clients did not see: with every cut, LF and CRLF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/hide.c"
#include "daemon/base/buf.h"

static const char *const names[] = { "X-UID", "Status", NULL };

static void gather(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

static void check(struct hide_how how, const char *in, const char *wanted)
{
    const size_t len = strlen(in);

    how.names = names;
    for (size_t a = 0; a <= len; a++)
        for (size_t b = a; b <= len; b++) {
            struct hide h = hide_start(&how);
            struct buf out = BUF_EMPTY;

            hide_feed(&h, in, a, gather, &out);
            hide_feed(&h, in + a, b - a, gather, &out);
            hide_feed(&h, in + b, len - b, gather, &out);
            hide_end(&h, gather, &out);
            assert_string_equal(buf_span(&out).at, wanted);
            buf_free(&out);
        }
}

static void hides(void **state)
{
    const struct hide_how how = { .one_line = false };

    (void)state;
    check(how, "A: 1\nX-UID: 7\nB: 2\n\nX-UID: body\n", "A: 1\nB: 2\n\nX-UID: body\n");
    check(how, "A: 1\r\nX-UID: 7\r\nB: 2\r\n\r\nX-UID: body\r\n", "A: 1\r\nB: 2\r\n\r\nX-UID: body\r\n");
    check(how, "x-uid : 7\n more\n\tmore\nA: 1\n more\n\n", "A: 1\n more\n\n");
    check(how, "X-UIDL: a\nX-UI: b\nX-UIDs: c\nX: d\n\n", "X-UIDL: a\nX-UI: b\nX-UIDs: c\nX: d\n\n");
    check(how, "X-UID\nno field\n X-UID: 1\n:\n\nStatus: x", "X-UID\nno field\n X-UID: 1\n:\n\nStatus: x");
    check(how, "A-name-that-is-longer-than-what-is-held-back: 1\nStatus: RO\n\n", "A-name-that-is-longer-than-what-is-held-back: 1\n\n");
    check(how, "", "");
    check(how, "\nStatus: x\n", "\nStatus: x\n");
    check(how, "Status: x", "");
    check(how, "Stat", "Stat");
    check(how, "A: 1\nX-UID: 7\n", "A: 1\n");
    check((struct hide_how){ .one_line = true }, "X-UID: 7\n more\nA: 1\n\n", " more\nA: 1\n\n");
}

static void adds(void **state)
{
    const struct hide_how end = { .add = SPAN_OF("Added: x\n") };
    const struct hide_how before = { .add = SPAN_OF("Added: x\n"), .before = "To" };

    (void)state;
    check(end, "A: 1\nStatus: RO\n\nbody\n\nmore\n", "A: 1\nAdded: x\n\nbody\n\nmore\n");
    check(end, "A: 1\r\n\r\nbody\r\n", "A: 1\r\nAdded: x\n\r\nbody\r\n");
    check(end, "A: 1\n", "A: 1\nAdded: x\n");
    check(end, "\nbody\n", "Added: x\n\nbody\n");
    check(before, "A: 1\nTo: b\nTo: c\n\nTo: d\n", "A: 1\nAdded: x\nTo: b\nTo: c\n\nTo: d\n");
    check(before, "A: 1\nToo: b\n\nTo: d\n", "A: 1\nToo: b\nAdded: x\n\nTo: d\n");
    check((struct hide_how){ .before = "To" }, "To: b\n\n", "To: b\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(hides), cmocka_unit_test(adds) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
