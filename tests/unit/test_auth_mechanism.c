/*
 * Names of mechanisms, stored verifiers and the first message of SCRAM, and
 * what is shown for names that are not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "auth/account/decoy.h"
#include "auth/mechanism.h"
#include "auth/scheme/scram.h"
#include "daemon/base/list.h"

/* S13 */
static void test_find(void **state)
{
    enum mechanism m;

    (void)state;
    for (unsigned i = 0; i < MECHANISMS; i++) {
        assert_true(mechanism_find(span_str(mechanisms[i].name), &m));
        assert_int_equal(m, i);
    }
    assert_true(mechanism_find(SPAN_OF("scram-Sha-256"), &m));
    assert_int_equal(m, MECH_SCRAM_SHA_256);
    assert_false(mechanism_find(SPAN_OF(""), &m));
    assert_false(mechanism_find(SPAN_OF("PLAI"), &m));
    assert_false(mechanism_find(SPAN_OF("PLAIN "), &m));
}

static void test_parse(void **state)
{
    struct span wrong;
    unsigned set;

    (void)state;
    assert_true(list_words(SPAN_OF(""), mechanism_names, &set, &wrong));
    assert_int_equal(set, 0);
    assert_true(list_words(SPAN_OF("  plain   APOP "), mechanism_names, &set, &wrong));
    assert_int_equal(set, MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_APOP));
    assert_false(list_words(SPAN_OF("PLAIN GSSAPI LOGIN"), mechanism_names, &set, &wrong));
    assert_true(span_is(wrong, SPAN_OF("GSSAPI")));
    assert_false(list_words(SPAN_OF("PLAIN LOGIN plain"), mechanism_names, &set, &wrong));
    assert_true(span_is(wrong, SPAN_OF("plain")));
    assert_true(list_words(SPAN_OF("PLAIN,LOGIN, \tAPOP,"), mechanism_names, &set, &wrong));
    assert_int_equal(set, MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN) | MECH_BIT(MECH_APOP));
}

/* The name that a first message has, for the log. */
static void test_name(void **state)
{
    static const struct { enum mechanism m; struct span message; const char *name; } rows[] = {
        { MECH_PLAIN, SPAN_OF("\0anna@x\0secret"), "anna@x" },
        { MECH_PLAIN, SPAN_OF("bert\0anna@x\0secret"), "anna@x" },
        { MECH_PLAIN, SPAN_OF("\0secret"), "" },
        { MECH_PLAIN, SPAN_OF("secret"), "" },
        { MECH_PLAIN, SPAN_OF("\0\0secret"), "" },
        { MECH_LOGIN, SPAN_OF("anna@x "), "anna@x " },
        { MECH_CRAM_MD5, SPAN_OF("anna b 0123"), "anna b" },
        { MECH_CRAM_MD5, SPAN_OF("0123"), "" },
        { MECH_APOP, SPAN_OF("anna@x 0123"), "anna@x" },
        { MECH_XOAUTH2, SPAN_OF("user=anna@x\1auth=Bearer t\1\1"), "anna@x" },
        { MECH_XOAUTH2, SPAN_OF("auth=Bearer t\1\1"), "" },
        { MECH_OAUTHBEARER, SPAN_OF("n,a=anna@x,\1auth=Bearer t\1\1"), "anna@x" },
        { MECH_OAUTHBEARER, SPAN_OF("n,,\1auth=Bearer t\1\1"), "" },
        { MECH_SCRAM_SHA_256, SPAN_OF("n,,n=anna@x,r=abc"), "anna@x" },
        { MECH_SCRAM_SHA_256_PLUS, SPAN_OF("p=tls-exporter,,n=anna@x,r=abc"), "anna@x" },
        { MECH_SCRAM_SHA_256, SPAN_OF("c=biws,r=abc,p=AAAA"), "" },
        { MECH_EXTERNAL, SPAN_OF("anna@x"), "" },
        { MECH_PLAIN, SPAN_OF(""), "" }, { MECH_LOGIN, SPAN_OF(""), "" }, { MECH_CRAM_MD5, SPAN_OF(""), "" },
        { MECH_SCRAM_SHA_1, SPAN_OF(""), "" }, { MECH_XOAUTH2, SPAN_OF(""), "" }, { MECH_APOP, SPAN_OF(" "), "" },
    };
    static char huge[2000];
    struct span name;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool found = mechanism_name(rows[i].m, rows[i].message, &name);
        if (!span_is(name, span_str(rows[i].name)) || found != (name.len > 0))
            fail_msg("%zu: \"%.*s\"", i, (int)name.len, name.at);
    }
    memset(huge, 'a', sizeof huge);
    assert_false(mechanism_name(MECH_LOGIN, (struct span){ huge, sizeof huge }, &name));
}

/* The one of RFC 7677 section 3, by its salt and count; keys of the right and of the wrong size. */
#define KEY256 "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define KEY1 "6dlGYMOdZcOPutkcNY8U2g7vK9Y="

static void test_verifier(void **state)
{
    static const char *const bad[] = {
        "", "SCRAM-SHA-256", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256 ":",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256,
        "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256 ":" KEY256,
        "SCRAM-SHA-256$-1:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256 ":" KEY256,
        "SCRAM-SHA-256$99999999999:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256 ":" KEY256,
        "SCRAM-SHA-256$4096:$" KEY256 ":" KEY256, "SCRAM-SHA-256$4096:W22Z,i=1$" KEY256 ":" KEY256,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY1 ":" KEY256,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256 ":" KEY256 "x",
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY1 ":" KEY1,
    };
    struct scram_verifier v;

    (void)state;
    assert_true(scram_parse("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEY256 ":" KEY256, false, &v));
    assert_string_equal(v.iterations, "4096");
    assert_string_equal(v.salt, "W22ZaJ0SNY7soEsUEjb6gQ==");
    assert_string_equal(v.stored_key, KEY256);
    assert_string_equal(v.server_key, KEY256);
    assert_true(scram_parse("SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$" KEY1 ":" KEY1, true, &v));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(scram_parse(bad[i], false, &v));
}

/* S24 S25 */
static void test_first_message(void **state)
{
    static const char *const good[] = {
        "n,,n=user,r=x", "y,,n=a=2Cb=3D,r=x", "n,a=a=2Cb,n=u,r=x=y", "", "n", "n,", "n,,", "n,,m=x,n=u", ",,,",
    };
    static const char *const bad[] = { "n,,n=a=41,r=x", "n,,n=a=,r=x", "n,,n==,r=x", "n,,n=a=2c,r=x", "n,a=x=4,n=u,r=x", "n,,n=a=2" };

    struct span name;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(scram_first_ok(span_str(good[i]), false, &name));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(scram_first_ok(span_str(bad[i]), true, &name));
    assert_false(scram_first_ok(SPAN_OF("p=tls-exporter,,n=u,r=x"), false, &name));
    assert_true(scram_first_ok(SPAN_OF("p=tls-exporter,,n=u,r=x"), true, &name));
    assert_true(span_is(name, SPAN_OF("u")));
    assert_true(scram_first_ok(SPAN_OF("n,a=else,n=who=2C,r=x"), false, &name));
    assert_true(span_is(name, SPAN_OF("who=2C")));
    assert_true(scram_first_ok(SPAN_OF("n,a=else,r=x"), false, &name));
    assert_int_equal(name.len, 0);
}

/* S26 */
static void test_decoy(void **state)
{
    unsigned char a[16], b[16];

    (void)state;
    assert_false(decoy_has_key());
    decoy_set_key(SPAN_OF("database"), SPAN_OF("file"));
    assert_true(decoy_has_key());
    decoy_octets("salt", SPAN_OF("anna@example.org"), a, sizeof a);
    decoy_set_key(SPAN_OF("database"), SPAN_OF("file"));
    decoy_octets("salt", SPAN_OF("anna@example.org"), b, sizeof b);
    assert_memory_equal(a, b, sizeof a);
    /* It takes both of them. */
    decoy_set_key(SPAN_OF("database"), SPAN_OF(""));
    decoy_octets("salt", SPAN_OF("anna@example.org"), b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    decoy_set_key(SPAN_OF("databas"), SPAN_OF("efile"));
    decoy_octets("salt", SPAN_OF("anna@example.org"), b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    decoy_set_key(SPAN_OF("database"), SPAN_OF("file"));
    decoy_octets("salt", SPAN_OF("anne@example.org"), b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    decoy_octets("other", SPAN_OF("anna@example.org"), b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* Whoever goes by the table, and by nothing else, must find each row whole. */
static void test_rows(void **state)
{
    (void)state;
    for (unsigned m = 0; m < MECHANISMS; m++) {
        bool binds = (mechanisms[m].flags & MECH_BINDS) != 0;
        enum mechanism plus = mechanism_plus((enum mechanism)m);

        assert_non_null(mechanisms[m].how);
        /* What is PASS in other words no helper sees. */
        const bool as_pass = (mechanisms[m].flags & MECH_AS_PASS) != 0;
        assert_int_equal(mechanisms[m].how->start == NULL, as_pass);
        /* What begins with a challenge has to go on after it. */
        assert_true(!(mechanisms[m].flags & MECH_SERVER_FIRST) || as_pass || mechanisms[m].how->step != NULL);
        if (plus != MECHANISMS)
            assert_true(!binds && (mechanisms[plus].flags & MECH_BINDS) && mechanisms[plus].how == mechanisms[m].how);
    }
    assert_int_equal(mechanism_plus(MECH_SCRAM_SHA_256), MECH_SCRAM_SHA_256_PLUS);
    assert_int_equal(mechanism_plus(MECH_SCRAM_SHA_256_PLUS), MECHANISMS);
    assert_int_equal(mechanism_plus(MECH_PLAIN), MECHANISMS);
    assert_int_equal(mechanisms_with(MECH_TOKEN), MECH_BIT(MECH_OAUTHBEARER) | MECH_BIT(MECH_XOAUTH2));
    assert_int_equal(mechanisms_with(MECH_BINDS), MECH_BIT(MECH_SCRAM_SHA_256_PLUS) | MECH_BIT(MECH_SCRAM_SHA_1_PLUS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_find),          cmocka_unit_test(test_parse), cmocka_unit_test(test_name), cmocka_unit_test(test_verifier),
        cmocka_unit_test(test_first_message), cmocka_unit_test(test_decoy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
