/*
 * The decision about a password against a real PostgreSQL (POSTERN_TEST_DB):
 * which forms of it are let in, and how often something is verified for that.
 * A refusal must not tell by its cost whether the name is known (A10); so the
 * number of Argon2 computations is what is counted here, at the library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <sodium.h>

#include "auth/account/account.h"
#include "auth/login_cache.h"
#include "auth/account/make.h"
#include "auth/settings.h"
#include "daemon/base/secret.h"
#include "storage/pg/schema.h"
#include "tests/unit/admin_fixture.h"

#define COMPOSED "K\xC3\xB6ln"
#define DECOMPOSED "Ko\xCC\x88ln"

static struct auth_settings settings = {
    .auth_helpers = 1, .auth_argon2_memory = 8388608, .auth_argon2_passes = 1, .auth_cache = 1 << 20, .auth_deadline = 20000,
    .auth_upgrade = true, .auth_failures = 1000, .auth_failure_time = 1000,
};
static struct accounts *accounts;
static struct login_cache *shared;      /* theirs, as another helper would have it */
static unsigned verified;

/* In place of libsodium's: the same, and counted. */
int crypto_pwhash_str_verify(const char str[crypto_pwhash_STRBYTES], const char *const passwd, unsigned long long len)
{
    verified++;
    return crypto_pwhash_argon2id_str_verify(str, passwd, len);
}

static void store(const char *address, const char *secret)
{
    admin_value("insert into postern.credential (mailbox, kind, secret)"
                " select mailbox, 'password', $2 from postern.mailbox where address = $1"
                " on conflict (mailbox, kind, label) do update set secret = excluded.secret", address, secret);
}

/* What posternctl makes of a password; and what one was that kept the octets. */
static void store_made(const char *address, const char *password)
{
    char text[SCHEME_TEXT_MAX];
    const char *error;

    assert_int_equal(make_secret(CREDENTIAL_PASSWORD, span_str(password), &settings, text, &error), 0);
    store(address, text);
}

static void store_raw(const char *address, const char *password)
{
    char text[SCHEME_TEXT_MAX];
    const char *error;

    assert_int_equal(scheme_hash("argon2id", span_str(password), &settings, text, &error), 0);
    store(address, text);
}

/* NULL: let in. Else the reason. */
static const char *try(const char *name, const char *password)
{
    struct auth_request request = { .name = span_str(name), .password = span_str(password) };
    struct account_verdict v;

    verified = 0;
    account_check(accounts, &request, &v);
    if (v.verdict == AUTH_OK || v.verdict == AUTH_OK_UNCONFIRMED)
        return NULL;
    assert_int_equal(v.verdict, AUTH_REFUSED);
    return v.reason;
}

static void test_forms(void **state)
{
    (void)state;
    store_made("a@account-test.example", DECOMPOSED);
    assert_null(try("a@account-test.example", COMPOSED));
    assert_int_equal(verified, 1);
    assert_null(try("a@account-test.example", DECOMPOSED));
    assert_int_equal(verified, 2);
    /* Both are cached, as they were sent. */
    assert_null(try("a@account-test.example", COMPOSED));
    assert_int_equal(verified, 0);
    assert_null(try("A@account-test.example ", DECOMPOSED));
    assert_int_equal(verified, 0);
    assert_null(try("a@account-test.example", "\xE2\x84\xAAo\xCC\x88ln"));
    assert_string_equal(try("a@account-test.example", "Koln"), "password");
}

/* One that was made of the octets goes on to work, and is brought to the form that works for both. */
static void test_octets(void **state)
{
    (void)state;
    store_raw("b@account-test.example", DECOMPOSED);
    assert_string_equal(try("b@account-test.example", COMPOSED), "password");
    assert_null(try("b@account-test.example", DECOMPOSED));
    assert_int_equal(verified, 1);
    account_upkeep(accounts);
    assert_null(try("b@account-test.example", COMPOSED));
    assert_null(try("b@account-test.example", DECOMPOSED));
    store_raw("b@account-test.example", "K\xF6ln");
    assert_null(try("b@account-test.example", "K\xF6ln"));
    assert_int_equal(verified, 1);
}

/* A10: the same number for all that are refused, and two only for a password that has two forms. */
static void test_cost(void **state)
{
    static const struct { const char *password; unsigned cost; } rows[] = {
        { "wrong", 1 }, { COMPOSED "x", 1 }, { DECOMPOSED "x", 2 }, { "a\xC2\xA0" "b", 2 }, { "K\xF6ln", 1 }, { "", 1 },
        { "\xC2\xAD", 1 }, { "\xD7\x90" "a", 1 },
    };
    static const char *const names[] = {
        "a@account-test.example", "off@account-test.example", "none@account-test.example", "ghost@account-test.example",
        "ghost@nowhere.example", "not an address", "", "cheap@account-test.example",
    };

    (void)state;
    store_made("a@account-test.example", "right");
    store_made("off@account-test.example", "right");
    store("cheap@account-test.example", "{SSHA}bm90aGluZyB0aGF0IGFueWJvZHkga25vd3M=");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            assert_non_null(try(names[i], rows[k].password));
            if (verified != rows[k].cost)
                fail_msg("\"%s\" with \"%s\" was verified %u times", names[i], rows[k].password, verified);
        }
}

/*
 * From a network that is still to be written down, as all are at the first login of a day: the password is
 * known by the mailbox's number from then on, as it is where nothing is written.
 */
static void test_unseen_network(void **state)
{
    struct auth_request request = { .name = SPAN_OF("a@account-test.example"), .password = SPAN_OF("right"), .origin = { .network = SPAN_OF("192.0.2.9") } };
    struct account_verdict v;

    (void)state;
    store_made("a@account-test.example", "right");
    account_check(accounts, &request, &v);
    assert_true(v.verdict == AUTH_OK && v.unseen && !v.cached);
    const struct mailbox_ref mailbox = { admin_number("select mailbox from postern.mailbox where address = 'a@account-test.example'") };
    int64_t proof = admin_number("select proof from postern.mailbox where mailbox = %lld", (long long)mailbox.number);
    assert_true(login_cache_has_proof(shared, &mailbox, proof, request.password));
    assert_false(login_cache_has_proof(shared, &mailbox, proof + 1, request.password));
    account_check(accounts, &request, &v);
    assert_true(v.verdict == AUTH_OK && v.unseen && v.cached);
}

static int setup(void **state)
{
    (void)state;
    if (admin_connect() < 0)
        return -1;
    admin_run("delete from postern.mailbox where address like '%@account-test.example';"
        "delete from postern.domain where name = 'account-test.example';"
        "delete from postern.tenant where name = 'account-test';"
        "insert into postern.tenant (name) values ('account-test');"
        "insert into postern.domain (tenant, name) select tenant, 'account-test.example' from postern.tenant"
        " where name = 'account-test';"
        "insert into postern.mailbox (domain, address, enabled) select domain, a || '@' || name, a <> 'off'"
        " from postern.domain, unnest(array['a', 'b', 'off', 'none', 'cheap']) a where name = 'account-test.example'");
    secret_init();
    int memory = login_cache_memory((size_t)settings.auth_cache);
    shared = login_cache_new(dup(memory));
    accounts = accounts_new(auth_conninfo, &settings, schema_wanted(), memory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    accounts_free(&accounts);
    login_cache_free(&shared);
    admin_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_octets), cmocka_unit_test(test_cost), cmocka_unit_test(test_unseen_network),
    };
    if (without_database("auth_account"))
        return 0;
    return cmocka_run_group_tests(tests, setup, teardown);
}
