/* courierpop3dsizelist: all versions of it, the UIDLs, what is wrong with a line, and the order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/mail/courier.c"
#include "admin/mail/listfile.c"

static const char *open_text(struct courier_list *l, struct span text)
{
    int fd = memfd_create("list", MFD_CLOEXEC);
    const char *why;

    assert_int_equal(write(fd, text.at, text.len), (ssize_t)text.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    why = courier_open(l, fd);
    close(fd);
    return why;
}

/* "name uidl" of each entry, or "line fault". */
static void expect(struct span text, const char *wanted)
{
    struct courier_list l;
    struct courier_entry e;
    struct buf out = BUF_EMPTY;
    const char *fault;
    int got;

    assert_null(open_text(&l, text));
    while ((got = courier_next(&l, &e, &fault)) != 0) {
        struct buf uidl = BUF_EMPTY;

        if (got < 0) {
            buf_addf(&out, "%zu %s\n", l.line, fault);
            continue;
        }
        courier_uidl(&e, &uidl);
        buf_add(&out, e.name.at, e.name.len);
        buf_addf(&out, " %.*s\n", (int)buf_left(&uidl), buf_span(&uidl).at);
        buf_free(&uidl);
    }
    buf_add(&out, "", 1);
    assert_string_equal(buf_span(&out).at, wanted);
    buf_free(&out);
    courier_close(&l);
}

static void versions(void **state)
{
    (void)state;
    expect(SPAN_OF("/3 8 1796063130\n1.M1.host:2,S 11 7:1796063130:0\n2.M2 host,S=8 11 4294967297:5:1\n3.x 11 0:1796063130:0\n4.x 9 6:0:0\n"),
           "1.M1.host UID7-1796063130\n2.M2 host,S=8 UID4294967297-5\n3.x 3.x\n4.x UID6\n");
    expect(SPAN_OF("/2 8 1796063130\n1.M1.host:2,S 11 7:1796063130\n2.+'\"\x80~ 11 0:0\n"), "1.M1.host UID7-1796063130\n2.+'\"\x80~ 2.+2B+27+22+80~\n");
    expect(SPAN_OF("/1 8\n1.M1.host:2,S 11 7\n"), "1.M1.host UID7\n");
    expect(SPAN_OF("1.M1.host:2,S 11\n2.x 12\n"), "1.M1.host 1.M1.host\n2.x 2.x\n");
    expect(SPAN_OF("/3 1 5\n"), "");
}

static void broken(void **state)
{
    struct courier_list l;

    (void)state;
    expect(SPAN_OF("/3 8 5\n\n1.x\n1.x 5\n1.x 7:5:0\n1.x x 7:5:0\n1.x 5 7:5\n1.x 5 7:5:0:0\n1.x 5 7:5:\n1.x 5 :5:0\n1.x 5 18446744073709551616:5:0\n"
                   "1.x 5 -7:5:0\n a/b 5 7:5:0\n1.x\0y 5 7:5:0\n:2, 5 7:5:0\n 5 7:5:0\n1.x 5 18446744073709551615:5:0\n2.x 5 7:5:0"),
           "2 does not end with the numbers of its version\n3 does not end with the numbers of its version\n4 does not end with the numbers of its version\n"
           "5 has no size\n6 has no size\n7 does not end with the numbers of its version\n8 does not end with the numbers of its version\n"
           "9 does not end with the numbers of its version\n10 does not end with the numbers of its version\n11 does not end with the numbers of its version\n"
           "12 does not end with the numbers of its version\n13 has a name that no file of a Maildir has\n14 has a name that no file of a Maildir has\n"
           "15 has a name that no file of a Maildir has\n16 has a name that no file of a Maildir has\n1.x UID18446744073709551615-5\n18 is not complete\n");
    static const struct span none[] = { SPAN_OF(""), SPAN_OF("/4 8 5\n"), SPAN_OF("/\n"), SPAN_OF("/3\n"), SPAN_OF("/3 x 5\n"), SPAN_OF("/33 8 5\n") };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_non_null(open_text(&l, none[i]));
        courier_close(&l);
    }
}

static void order(void **state)
{
    static const char *const rising[] = { "-5.x", "a", "b", "9.z", "10.M100", "10.M99", "10.M99,S=1", "10.M99.x", "11" };

    (void)state;
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++)
        for (size_t j = 0; j < sizeof rising / sizeof rising[0]; j++)
            assert_int_equal(courier_cmp(rising[i], rising[j]), (i > j) - (i < j));
    assert_int_equal(courier_cmp("10.M99:2,S", "10.M99"), 0);
    assert_int_equal(courier_cmp("10.M99:2,S", "10.M99:2,"), 0);
    assert_int_equal(courier_cmp("10.\xff", "10.a"), -1);
    assert_int_equal(courier_cmp("99999999999999999999.a", "99999999999999999998.b"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(versions), cmocka_unit_test(broken), cmocka_unit_test(order) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
