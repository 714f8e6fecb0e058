/* What is kept of policies: for whom, from where, for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "auth/account/policies.h"

enum { DAY = 86400, NOON = 20000 * DAY + DAY / 2 };

static void kept(void **state)
{
    struct policies *p = policies_new(64);
    struct policy_entry e = { .mailbox = { 7 }, .versions = { 5, 3 }, .policy = { .login_delay = 60, .maintenance = { "x", 1 } }, .maintenance = "x" };
    const struct policy_entry *found;

    (void)state;
    assert_null(policies_get(p, "anna@example.org", "", NOON));
    policies_put(p, "anna@example.org", "192.0.2.1", NOON, &e);
    found = policies_get(p, "anna@example.org", "192.0.2.1", NOON);
    assert_non_null(found);
    assert_true(found->mailbox.number == 7 && found->versions.proof == 5 && found->versions.policy == 3 && found->policy.login_delay == 60);
    assert_true(found->policy.maintenance.at == found->maintenance);
    assert_non_null(policies_get(p, "anna@example.org", "", NOON));
    assert_null(policies_get(p, "anna@example.org", "192.0.2.2", NOON));
    assert_null(policies_get(p, "anna@example.org", "192.0.2.1", NOON + DAY));
    assert_null(policies_get(p, "bert@example.org", "192.0.2.1", NOON));
    policies_put(p, "anna@example.org", "", NOON, &e);
    assert_null(policies_get(p, "anna@example.org", "192.0.2.1", NOON));
    assert_non_null(policies_get(p, "anna@example.org", "", NOON + 9 * DAY));
    policies_free(&p);
    assert_null(p);
}

/* More names than places: one is never taken for another. */
static void bounded(void **state)
{
    struct policies *p = policies_new(4), *none = policies_new(0);
    char name[32];
    int found = 0;

    (void)state;
    for (int i = 1; i <= 100; i++) {
        struct policy_entry e = { .mailbox = { i } };
        snprintf(name, sizeof name, "u%d@example.org", i);
        policies_put(p, name, "", NOON, &e);
        policies_put(none, name, "", NOON, &e);
        assert_int_equal(policies_get(p, name, "", NOON)->mailbox.number, i);
        assert_null(policies_get(none, name, "", NOON));
    }
    for (int i = 1; i <= 100; i++) {
        snprintf(name, sizeof name, "u%d@example.org", i);
        const struct policy_entry *e = policies_get(p, name, "", NOON);
        found += e != NULL;
        assert_true(e == NULL || e->mailbox.number == i);
    }
    assert_true(found >= 1 && found <= 4);
    policies_free(&p);
    policies_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(kept), cmocka_unit_test(bounded) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
