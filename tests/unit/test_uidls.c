/* Lists of UIDLs, line by line, and the order of names with numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/mail/natural.c"
#include "admin/mail/uidls.c"
#include "admin/shown.c"

static unsigned told;

enum ctl_exit ctl_error(enum ctl_exit end, const char *fmt, ...)
{
    (void)fmt;
    told++;
    return end;
}

static struct uidls *list(const char *text, size_t len)
{
    int fd = memfd_create("list", MFD_CLOEXEC);
    char path[64];
    struct uidls *u;

    assert_int_equal(write(fd, text, len), (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    u = uidls_new(path);
    close(fd);
    return u;
}

static void expect_line(const struct uidls *u, size_t i, const char *key, const char *uidl, const char *fault)
{
    const struct uidl_line *l = &u->lines[i];

    assert_int_equal(l->number, i + 1);
    assert_int_equal(l->key == NULL, key == NULL);
    if (key != NULL)
        assert_string_equal(l->key, key);
    assert_string_equal(l->uidl, uidl);
    assert_int_equal(l->fault == NULL, fault == NULL);
    if (fault != NULL)
        assert_non_null(strstr(l->fault, fault));
}

static void named(void **state)
{
    static const char text[] = "1.a\tx\r\n2.b\t\nbare\n\ty\nk\0k\tz\nk\ta\tb\n\n5.e\tend";
    struct uidls *u = list(text, sizeof text - 1);

    (void)state;
    assert_true(u->named);
    assert_int_equal(u->count, 8);
    expect_line(u, 0, "1.a", "x", NULL);
    expect_line(u, 1, "2.b", "", "is empty");
    expect_line(u, 2, NULL, "bare", "no name and tab");
    expect_line(u, 3, "", "y", "no name in front");
    assert_non_null(strstr(u->lines[4].fault, "no name in front"));
    expect_line(u, 5, "k", "a\tb", "control character");
    expect_line(u, 6, NULL, "", "is empty");
    expect_line(u, 7, "5.e", "end", NULL);
    uidls_free(&u);
    assert_null(u);
}

static void bare(void **state)
{
    struct uidls *u = list("a\n\nb\r\r\n", 7), *none = list("", 0);

    (void)state;
    assert_false(u->named);
    assert_int_equal(u->count, 3);
    expect_line(u, 0, NULL, "a", NULL);
    expect_line(u, 1, NULL, "", "is empty");
    expect_line(u, 2, NULL, "b\r", "control character");
    assert_int_equal(none->count, 0);
    uidls_free(&u);
    uidls_free(&none);
    assert_null(uidls_new("/nowhere/at/all"));
    assert_null(uidls_new("/"));
    assert_int_equal(told, 2);
}

static void order(void **state)
{
    static const char *const rising[] = {
        "", "-1", "1", "1.", "2.", "10.", "10a", "99999999999999999999999998", "99999999999999999999999999", "M7P1", "M99P1", "M100P1",
        "a", "a01b1", "a1b1", "a01b2", "a1b2", "b", "\303",
    };
    enum { N = sizeof rising / sizeof rising[0] };

    (void)state;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int got = natural_cmp(rising[i], rising[j]);
            if ((i < j ? got >= 0 : i > j ? got <= 0 : got != 0))
                fail_msg("%s %s: %d", rising[i], rising[j], got);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(named), cmocka_unit_test(bare), cmocka_unit_test(order) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
