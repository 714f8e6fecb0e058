/* A reference to a mailbox: its text and back, what is the same, what is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/mailbox_ref.h"

static void text(void **state)
{
    static const char *const good[] = { "1", "42", "9223372036854775807" };
    static const char *const bad[] = { "", "0", "-1", "+1", " 1", "1 ", "1x", "9223372036854775808" };
    struct mailbox_ref m = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(mailbox_parse(span_str(good[i]), &m));
        assert_true(mailbox_is_one(&m));
        assert_string_equal(mailbox_text(&m).s, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m = (struct mailbox_ref){ 7 };
        assert_false(mailbox_parse(span_str(bad[i]), &m));
        assert_int_equal(m.number, 7);
    }
}

static void same(void **state)
{
    const struct mailbox_ref none = { 0 }, one = { 1 }, again = { 1 }, other = { INT64_C(1) << 32 | 1 };

    (void)state;
    assert_false(mailbox_is_one(&none));
    assert_true(mailbox_same(&one, &again) && mailbox_key(&one) == mailbox_key(&again));
    assert_false(mailbox_same(&one, &other) || mailbox_key(&one) == mailbox_key(&other));
    assert_false(mailbox_same(&one, &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(text), cmocka_unit_test(same) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
