/* dovecot-uidlist: what is read of it, what is not, and the UIDLs that come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>

#include "admin/mail/dovecot.c"

static char faults[512];

static void note(void *arg, size_t line, const char *what)
{
    size_t used = strlen(faults);

    assert_ptr_equal(arg, faults);
    snprintf(faults + used, sizeof faults - used, "%zu %s\n", line, what);
}

static struct dovecot_list *list(struct span text, const char **error_r)
{
    int fd = memfd_create("list", MFD_CLOEXEC);
    struct dovecot_list *l;

    faults[0] = '\0';
    assert_int_equal(write(fd, text.at, text.len), (ssize_t)text.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    l = dovecot_read(fd, note, faults, error_r);
    close(fd);
    assert_int_equal(l == NULL, *error_r != NULL);
    return l;
}

static void expect(const struct dovecot_list *l, const char *name, const char *format, const char *wanted)
{
    const struct dovecot_entry *e = dovecot_find(l, name);
    struct buf uidl = BUF_EMPTY;

    assert_non_null(e);
    assert_null(dovecot_format_fault(format));
    dovecot_uidl(l, e, format, &uidl);
    if (!span_is(buf_span(&uidl), span_str(wanted)))
        fail_msg("%s %s: %.*s", name, format, (int)buf_left(&uidl), buf_span(&uidl).at);
    buf_free(&uidl);
}

/* What a Dovecot 2.3.19 showed for this list. */
static void as_dovecot_shows_it(void **state)
{
    const char *error;
    struct dovecot_list *l = list(SPAN_OF("3 V1796063130 N20 Gcd4d560e9abf0d6b5268000083ecc375\n"
                                          "1 W11 :1700000000.M7P1.host\n"
                                          "4 O2 Pkept-uidl :1700000005.M1P1.host\n"
                                          "5 O1 P :1600000000.M9P1.host,S=8\n"
                                          "7 G0123abc W11 :1700000000.M100P1.host:2,S\n"
                                          "9 :1500000000.M1P1.host"), &error);

    (void)state;
    expect(l, "1700000000.M7P1.host:2,S", dovecot_format, "000000016b0dbf9a");
    expect(l, "1700000000.M7P1.host", "%v.%u", "1796063130.1");
    expect(l, "1700000000.M7P1.host", "%f", "1700000000.M7P1.host");
    expect(l, "1700000000.M7P1.host", "x-%Xu%%%v", "x-1%1796063130");
    expect(l, "1700000000.M7P1.host", "%05u", "00001");
    expect(l, "1700000000.M100P1.host:2,", "%g", "0123abc");
    expect(l, "1500000000.M1P1.host", "%g", "1500000000.M1P1.host");
    expect(l, "1500000000.M1P1.host", "%Xv%u", "6b0dbf9a9");
    expect(l, "1700000005.M1P1.host:2,", dovecot_format, "kept-uidl");
    expect(l, "1600000000.M9P1.host,S=8:2,S", dovecot_format, "1600000000.M9P1.host,S=8");
    assert_int_equal(dovecot_find(l, "1600000000.M9P1.host,S=8")->order, 1);
    assert_int_equal(dovecot_find(l, "1500000000.M1P1.host")->order, UINT32_MAX);
    assert_null(dovecot_find(l, "1500000000.M1P1"));
    assert_null(dovecot_find(l, ""));
    assert_string_equal(faults, "");
    dovecot_free(&l);
    l = list(SPAN_OF("1 1275660208 25022\n7 a.b\n"), &error);
    expect(l, "a.b:2,S", "%v.%u", "1275660208.7");
    dovecot_free(&l);
}

static void broken_lines(void **state)
{
    const char *error;
    struct dovecot_list *l = list(SPAN_OF("3 N5 V7 X\n1 :a\n1 :b\n0 :c\nx :d\n2 O :e\n3 P\n4 :\n5 W1\n4294967296 :f\n\n6 :a\n8 :g/../h\n"
                                          "9 :i\0j\n10  W1   :k :l\n"), &error);

    (void)state;
    assert_string_equal(faults, "3 has a uid that does not rise\n4 does not begin with a uid\n5 does not begin with a uid\n"
                                "6 has an O without a number\n7 has no name of a file\n8 has no name of a file\n9 has no name of a file\n"
                                "10 does not begin with a uid\n11 does not begin with a uid\n13 has a name that no file of a Maildir has\n"
                                "14 has a name that no file of a Maildir has\n12 names a file that a line before names\n");
    assert_int_equal(dovecot_find(l, "a")->uid, 1);
    assert_int_equal(dovecot_find(l, "k ")->uid, 10);
    assert_int_equal(l->count, 2);
    dovecot_free(&l);
    static const struct span none[] = { SPAN_OF(""), SPAN_OF("\n"), SPAN_OF("2 V1\n1 :a\n"), SPAN_OF("3\n1 :a\n"), SPAN_OF("3 V0 N1\n"),
                                        SPAN_OF("3 V N1\n"), SPAN_OF("3 Vx\n"), SPAN_OF("3 V4294967296\n"), SPAN_OF("1\n"), SPAN_OF("1 x 2\n") };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_null(list(none[i], &error));
    l = list(SPAN_OF("3 V1"), &error);
    assert_null(dovecot_find(l, "a"));
    dovecot_free(&l);
}

static void formats(void **state)
{
    static const char *const bad[] = { "", "x", "%v", "%%u", "%", "%0", "%08X", "%m", "%u%m", "%Lu", "%{uid}", "%5u", "%08f", "%Xg", "%033u", "%099999999999u" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (dovecot_format_fault(bad[i]) == NULL)
            fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_dovecot_shows_it), cmocka_unit_test(broken_lines), cmocka_unit_test(formats) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
