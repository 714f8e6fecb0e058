/* X-UIDL of a header, as a Dovecot 2.3.19 with pop3_reuse_xuidl found it; blanks behind it, which clients do not see, go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "admin/mail/listfile.c"
#include "admin/mail/xuidl.c"

static void expect(struct span message, const char *wanted)
{
    int fd = memfd_create("message", MFD_CLOEXEC);
    struct buf value = BUF_EMPTY;

    assert_int_equal(write(fd, message.at, message.len), (ssize_t)message.len);
    assert_int_equal(xuidl_of(fd, &value), wanted != NULL);
    if (wanted != NULL && !span_is(buf_span(&value), span_str(wanted)))
        fail_msg("%.*s, not %s", (int)buf_left(&value), buf_span(&value).at, wanted);
    buf_free(&value);
    close(fd);
}

static void found(void **state)
{
    (void)state;
    expect(SPAN_OF("X-UIDL: abc\nA: 1\n\nx\n"), "abc");
    expect(SPAN_OF("A: 1\nX-UIDL:abc  \n\nx\n"), "abc");
    expect(SPAN_OF("A: 1\nx-uidl: a b\n\n"), "a b");
    expect(SPAN_OF("X-UIDL: one\n two\n\nx\n"), "one");
    expect(SPAN_OF("X-UIDL:\nX-UIDL: second\n\nx\n"), "");
    expect(SPAN_OF("X-UIDL: first\nX-UIDL: second\n\n"), "first");
    expect(SPAN_OF("X-UIDL : blank\n\n"), "blank");
    expect(SPAN_OF("X-UIDL: cr\r\n\r\nx\r\n"), "cr");
    expect(SPAN_OF("X-UIDL:   \t tab\t\n\n"), "tab");
    expect(SPAN_OF("X-UIDL: end"), "end");
}

static void not_found(void **state)
{
    char *large = calloc(1, 2 * HEADER_MAX);
    struct buf value = BUF_EMPTY;

    (void)state;
    expect(SPAN_OF(""), NULL);
    expect(SPAN_OF("A: 1\n\nX-UIDL: body\n"), NULL);
    expect(SPAN_OF("A: 1\r\n\r\nX-UIDL: body\n"), NULL);
    expect(SPAN_OF("A: 1\n X-UIDL: folded\n\n"), NULL);
    expect(SPAN_OF("X-UIDL\nXX-UIDL: x\n"), NULL);
    expect((struct span){ large, 2 * HEADER_MAX }, NULL);
    assert_false(xuidl_of(-1, &value));
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(found), cmocka_unit_test(not_found) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
