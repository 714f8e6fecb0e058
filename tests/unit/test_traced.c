/*
 * test_traced.c - whose dialogues are traced, and for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/traced.h"

static bool wanted(const char *peer, const char *address, uint64_t now)
{
    return traced_wanted(peer, span_str(address), now);
}

static int none(void **state)
{
    (void)state;
    traced_clear();
    return 0;
}

static void test_subjects(void **state)
{
    static const char *const good[] = { "a@b", "192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::1", "::/0", "unix" };
    static const char *const bad[] = { "", "anna", "192.0.2", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/-1", "::1/129", "::g", "/24", "unixx" };
    char longest[TRACED_SUBJECT_SIZE + 1];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(traced_is_subject(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(traced_is_subject(bad[i]));
        assert_false(traced_set(bad[i], 10, 1));
    }
    memset(longest, '@', sizeof longest);
    longest[TRACED_SUBJECT_SIZE] = '\0';
    assert_false(traced_is_subject(longest));
    longest[TRACED_SUBJECT_SIZE - 1] = '\0';
    assert_true(traced_set(longest, 10, 1));
}

static void test_mailbox(void **state)
{
    (void)state;
    assert_true(traced_set("Anna@example.org", 1000, 1));
    assert_true(wanted("192.0.2.1:1", "anna@example.org", 2));
    assert_false(wanted("192.0.2.1:1", "anna@example.orgg", 2));
    assert_false(wanted("192.0.2.1:1", "", 2));
}

static void test_networks(void **state)
{
    (void)state;
    assert_true(traced_set("192.0.2.128/25", 1000, 1));
    assert_true(traced_set("2001:db8:8000::/33", 1000, 1));
    assert_true(traced_set("10.0.0.1", 1000, 1));
    assert_true(wanted("192.0.2.128:4", "", 2));
    assert_true(wanted("192.0.2.255:65535", "", 2));
    assert_false(wanted("192.0.2.127:4", "", 2));
    assert_false(wanted("192.0.3.128:4", "", 2));
    assert_true(wanted("[::ffff:192.0.2.200]:4", "", 2));
    assert_true(wanted("[2001:db8:8000::1]:110", "", 2));
    assert_false(wanted("[2001:db8:7fff::1]:110", "", 2));
    assert_true(wanted("10.0.0.1:9", "", 2));
    assert_false(wanted("10.0.0.2:9", "", 2));
    assert_false(wanted("unix", "", 2));
    assert_false(wanted("stdin", "", 2));
    assert_true(traced_set("unix", 1000, 1));
    assert_true(wanted("unix", "", 2));
}

static void test_ends(void **state)
{
    (void)state;
    assert_true(traced_set("unix", 100, 1));
    assert_true(wanted("unix", "", 99));
    assert_false(wanted("unix", "", 100));
    assert_true(traced_set("unix", 300, 200));
    assert_true(traced_set("unix", 250, 201));          /* the same one, a new time */
    assert_false(wanted("unix", "", 260));
    assert_true(traced_set("unix", 500, 300));
    assert_true(traced_set("unix", 0, 301));
    assert_false(wanted("unix", "", 302));
    assert_true(traced_set("::1", 0, 303));             /* it was not there: as good */
}

static void test_full(void **state)
{
    char subject[32];

    (void)state;
    for (int i = 0; i < TRACED_MAX; i++) {
        snprintf(subject, sizeof subject, "10.0.0.%d", i);
        assert_true(traced_set(subject, (uint64_t)(100 + i), 1));
    }
    assert_false(traced_set("10.1.0.0", 100, 2));
    assert_true(traced_set("10.0.0.3", 200, 2));
    assert_true(traced_set("10.1.0.0", 300, 100));      /* the first one's time is over */
    assert_true(wanted("10.1.0.0:1", "", 101));
    assert_false(wanted("10.0.0.0:1", "", 101));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_subjects, none),
        cmocka_unit_test_setup(test_mailbox, none),
        cmocka_unit_test_setup(test_networks, none),
        cmocka_unit_test_setup(test_ends, none),
        cmocka_unit_test_setup(test_full, none),
    };
    return cmocka_run_group_tests_name("traced", tests, NULL, NULL);
}
