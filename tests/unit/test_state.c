/* What a format says of a message: deleted, a draft, no message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/state.c"

static void test_fields(void **state)
{
    static const struct {
        const char *line;
        unsigned wanted;
    } rows[] = {
        { "X-Mozilla-Status: 0009\r\n", STATE_DELETED }, { "X-Mozilla-Status: 0001", 0 }, { "x-mozilla-status:0008", STATE_DELETED },
        { "X-Mozilla-Status: 801f", STATE_DELETED }, { "X-Mozilla-Status: 8", STATE_DELETED }, { "X-Mozilla-Status: junk8", 0 },
        { "X-Mozilla-Status: 000000008", 0 }, { "X-Mozilla-Status:", 0 }, { "X-Mozilla-Status2: 00200000", STATE_DELETED },
        { "X-Mozilla-Status2: 00000008", 0 }, { "X-Mozilla-Keys: 0008", 0 },
        { "X-Mozilla-Draft-Info: internal/draft; vcard=0", STATE_DRAFT },
        { "X-Status: D", STATE_DELETED }, { "X-Status: AFT\n", STATE_DRAFT }, { "X-Status: ADT", STATE_DELETED | STATE_DRAFT },
        { "X-Status: A", 0 }, { "X-Status: Delayed by 3 days", 0 }, { "Status: RO", 0 }, { "Status: D", STATE_DELETED }, { "Status: ROD", STATE_DELETED },
        { "Status: T", 0 }, { "Status : D", STATE_DELETED }, { "Status", 0 }, { "Subject: D", 0 },
        { "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\n", STATE_INTERNAL_SUBJECT },
        { "Subject: Re: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA", 0 },
        { "X-IMAP: 1130 0001 NonJunk", STATE_INTERNAL_FIELD }, { "X-IMAPbase: 1130 1", STATE_INTERNAL_FIELD }, { "", 0 }, { "x", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (state_of_field(span_str(rows[i].line)) != rows[i].wanted)
            fail_msg("%s: %u", rows[i].line, state_of_field(span_str(rows[i].line)));
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(state_of_maildir_name("1.a:2,"), 0);
    assert_int_equal(state_of_maildir_name("1.a:2,FRS"), 0);
    assert_int_equal(state_of_maildir_name("1.a:2,ST"), STATE_DELETED);
    assert_int_equal(state_of_maildir_name("1.a,S=9:2,DS"), STATE_DRAFT);
    assert_int_equal(state_of_maildir_name("1.a;2,DT"), STATE_DELETED | STATE_DRAFT);
    assert_int_equal(state_of_maildir_name("1.a!2,T"), STATE_DELETED);
    assert_int_equal(state_of_maildir_name("1.DT"), 0);
    assert_int_equal(state_of_maildir_name("1.a:1,T"), 0);
    assert_int_equal(state_of_maildir_name("1.a:2,S:2,x,T"), 0);
    assert_int_equal(state_of_mh_name(",12"), STATE_DELETED);
    assert_int_equal(state_of_mh_name("12"), 0);
    assert_int_equal(state_of_mh_name(","), 0);
    assert_int_equal(state_of_mh_name(",12.eml"), 0);
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(state_kind(0), STATE_LIVING);
    assert_int_equal(state_kind(STATE_DELETED | STATE_DRAFT), STATE_KIND_DELETED);
    assert_int_equal(state_kind(STATE_DRAFT), STATE_KIND_DRAFT);
    /* A first message that lives has X-IMAPbase too; and anybody may write such a subject. */
    assert_int_equal(state_kind(STATE_INTERNAL_FIELD), STATE_LIVING);
    assert_int_equal(state_kind(STATE_INTERNAL_SUBJECT), STATE_LIVING);
    assert_int_equal(state_kind(STATE_INTERNAL_SUBJECT | STATE_INTERNAL_FIELD | STATE_DELETED), STATE_KIND_FOLDER_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_names), cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
