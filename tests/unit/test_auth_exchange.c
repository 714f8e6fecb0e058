/*
 * Exchanges in the helper against a real PostgreSQL (POSTERN_TEST_DB): what a
 * hostile worker, or a client by way of an honest one, may send. Whether the
 * right proof is let in, tests/system/test_sasl.py says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <libpq-fe.h>

#include "auth/account/account.h"
#include "auth/mechanism.h"
#include "auth/helper/exchange.h"
#include "auth/login_cache.h"
#include "auth/settings.h"
#include "daemon/base/log.h"
#include "daemon/base/secret.h"
#include "storage/pg/schema.h"
#include "tests/unit/admin_fixture.h"

static struct auth_settings settings = {
    .auth_helpers = 1, .auth_argon2_memory = 8388608, .auth_argon2_passes = 1, .auth_cache = 1 << 20, .auth_deadline = 20000,
    .auth_failures = 3, .auth_failure_time = 3600000,
};
/* All but one. */
enum { SERVED = (1 << MECHANISMS) - 1 - MECH_BIT(MECH_XOAUTH2) };
static struct accounts *accounts;
static struct exchanges *exchanges;
static struct exchange_answer answer;

static void start(enum mechanism m, const char *initial, uint64_t id)
{
    struct auth_opening o = { .mechanism = m, .session = SPAN_OF("0a"), .default_domain = SPAN_OF("example.org"), .timestamp = SPAN_OF("<1@x>") };

    if (initial != NULL) {
        o.has_initial = true;
        o.initial = span_str(initial);
    }
    exchange_start(exchanges, id, &o, &answer);
}

static void respond(uint64_t id, uint64_t exchange, struct span response)
{
    exchange_respond(exchanges, &(struct auth_step){ id, exchange, response }, &answer);
}

static void refused(const char *reason)
{
    assert_true(answer.exchange == 0);
    assert_int_equal(answer.verdict.verdict, AUTH_REFUSED);
    assert_string_equal(answer.verdict.reason, reason);
    assert_true(answer.verdict.mailbox.number == 0);
}

/* LOGIN is asked for as PASS is: who asks for it as a mechanism is a worker that was taken over. */
static void test_login(void **state)
{
    (void)state;
    start(MECH_LOGIN, "ghost", 1);
    refused("mechanism");
    start(MECH_LOGIN, NULL, 1);
    refused("mechanism");
}

/* An exchange belongs to one request, and is over with its verdict. */
static void test_whose(void **state)
{
    (void)state;
    start(MECH_SCRAM_SHA_256, "n,,n=ghost,r=abc", 5);
    uint64_t exchange = answer.exchange;
    assert_true(exchange != 0);
    assert_string_equal(answer.session, "0a");
    respond(6, exchange, SPAN_OF("ghost"));
    assert_true(answer.exchange == 0 && answer.verdict.verdict == AUTH_UNAVAILABLE);
    respond(5, exchange + 1, SPAN_OF("ghost"));
    assert_true(answer.exchange == 0 && answer.verdict.verdict == AUTH_UNAVAILABLE);
    exchange_abort(exchanges, &(struct auth_step){ 6, exchange, SPAN_OF("") }, &answer);
    assert_int_equal(answer.verdict.verdict, AUTH_UNAVAILABLE);
    exchange_abort(exchanges, &(struct auth_step){ 5, exchange, SPAN_OF("") }, &answer);
    refused("aborted");
    respond(5, exchange, SPAN_OF("c=biws,r=abc,p=AAAA"));
    assert_int_equal(answer.verdict.verdict, AUTH_UNAVAILABLE);
}

/* S30: too many: the oldest is forgotten, the latest is served. */
static void test_bound(void **state)
{
    enum { MANY = 3000 };
    uint64_t first, last = 0;

    (void)state;
    start(MECH_SCRAM_SHA_256, "n,,n=ghost,r=abc", 1);
    first = answer.exchange;
    assert_true(first != 0);
    for (uint64_t i = 2; i <= MANY; i++) {
        start(MECH_CRAM_MD5, NULL, i);
        last = answer.exchange;
        assert_true(last != 0);
    }
    respond(1, first, SPAN_OF("c=biws,r=abc,p=AAAA"));
    assert_int_equal(answer.verdict.verdict, AUTH_UNAVAILABLE);
    respond(MANY, last, SPAN_OF("ghost 00000000000000000000000000000000"));
    refused("unknown");
}

/* S03, S15, S22, P07 */
static void test_malformed(void **state)
{
    static const struct { enum mechanism m; const char *initial, *reason; } rows[] = {
        { MECH_PLAIN, NULL, "malformed" },          { MECH_PLAIN, "", "malformed" },        { MECH_PLAIN, "abc", "malformed" },
        { MECH_EXTERNAL, NULL, "certificate" },     { MECH_EXTERNAL, "a@x", "certificate" },
        { MECH_APOP, NULL, "malformed" },           { MECH_APOP, "ghost", "malformed" },
        { MECH_APOP, "ghost 00000000000000000000000000000000", "unknown" },
        { MECH_SCRAM_SHA_256, NULL, "malformed" },  { MECH_SCRAM_SHA_256, "", "malformed" },
        { MECH_SCRAM_SHA_256, "n,,n=,r=a", "malformed" },
        /* Soft hyphens and a variation selector: SASLprep maps them to nothing. */
        { MECH_SCRAM_SHA_256, "n,,n=\xc2\xad\xc2\xad\xef\xb8\x8f,r=a", "malformed" },
        { MECH_SCRAM_SHA_256, "n,,n=\xff,r=a", "password" },     { MECH_SCRAM_SHA_256, "n,,n=ghost", "malformed" },
        { MECH_SCRAM_SHA_256_PLUS, "p=tls-exporter,,n=ghost,r=abc", "binding" },
        { MECH_SCRAM_SHA_256_PLUS, "n,,n=ghost,r=abc", "password" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        start(rows[i].m, rows[i].initial, 1);
        refused(rows[i].reason);
    }
    start(MECH_CRAM_MD5, NULL, 1);
    respond(1, answer.exchange, SPAN_OF("ghost\0 00000000000000000000000000000000"));
    refused("malformed");
    start(MECH_SCRAM_SHA_256, "n,,n=ghost,r=abc", 1);
    respond(1, answer.exchange, SPAN_OF(""));
    refused("malformed");
}

/* Only a worker that was taken over asks for a mechanism that is not configured or that no listener can offer. */
static void test_not_served(void **state)
{
    (void)state;
    start(MECH_XOAUTH2, "user=anna@exchange-test.example\1auth=Bearer x\1\1", 1);
    refused("mechanism");
    assert_int_equal(answer.mechanism, MECH_XOAUTH2);
    assert_string_equal(answer.typed, "anna@exchange-test.example");
    assert_string_equal(answer.session, "0a");
}

/* PLAIN says what PASS does, and is answered from the cache like that: the worker can ask the same once more. */
static void test_unconfirmed(void **state)
{
    static const char right[] = "\0pia@exchange-test.example\0right", as_her[] = "pia@exchange-test.example\0pia@exchange-test.example\0right",
                      as_other[] = "lena@exchange-test.example\0pia@exchange-test.example\0right", wrong[] = "\0pia@exchange-test.example\0wrong";
    static const struct { struct span message; bool uncached; enum auth_verdict verdict; } rows[] = {
        { { right, sizeof right - 1 }, false, AUTH_OK },
        { { right, sizeof right - 1 }, false, AUTH_OK_UNCONFIRMED },
        { { as_her, sizeof as_her - 1 }, false, AUTH_OK_UNCONFIRMED },
        { { as_other, sizeof as_other - 1 }, false, AUTH_REFUSED },
        { { wrong, sizeof wrong - 1 }, false, AUTH_REFUSED },
        { { right, sizeof right - 1 }, true, AUTH_OK },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct auth_opening o = { .mechanism = MECH_PLAIN, .has_initial = true, .initial = rows[i].message, .uncached = rows[i].uncached };
        exchange_start(exchanges, 1, &o, &answer);
        account_write_down(accounts, &answer.verdict);
        assert_int_equal(answer.verdict.verdict, rows[i].verdict);
        assert_true((answer.verdict.verdict == AUTH_REFUSED) == (answer.verdict.mailbox.number == 0));
        assert_true(answer.verdict.verdict != AUTH_OK_UNCONFIRMED || answer.verdict.versions.proof != 0);
        assert_string_equal(answer.verdict.address, "pia@exchange-test.example");
    }
}

/* A whole try, as helper.c goes about it; its origin is what the worker says. */
static const char *guess(const char *initial, const char *network, bool good)
{
    struct auth_opening o = { .mechanism = MECH_PLAIN, .session = SPAN_OF("0a"), .default_domain = SPAN_OF("example.org"),
                              .has_initial = true, .origin = { .network = span_str(network), .good = good } };

    char *message = strdup(initial);
    size_t len = strlen(message);
    for (char *p = message; (p = memchr(p, '|', len - (size_t)(p - message))) != NULL;)
        *p = '\0';
    o.initial = (struct span){ message, len };
    exchange_start(exchanges, 1, &o, &answer);
    free(message);
    account_write_down(accounts, &answer.verdict);
    return answer.verdict.verdict == AUTH_REFUSED ? answer.verdict.reason : "ok";
}

/*
 * Guesses are counted here, whatever the worker says: that its client needs no
 * counting, or did well before, from wherever.
 */
static void test_own_count(void **state)
{
    static const struct { const char *name, *network; bool good; unsigned most; } rows[] = {
        { "|lena@exchange-test.example|wrong", "", false, 12 },
        { "|mara@exchange-test.example|wrong", "192.0.2.1", true, 12 },
        { "|nina@exchange-test.example|wrong", "192.0.2.1", false, 3 },
        { "|ghost1@exchange-test.example|wrong", "", false, 12 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned n = 0; n < rows[i].most; n++) {
            const char *reason = guess(rows[i].name, rows[i].network, rows[i].good);
            if (strcmp(reason, "guessing") == 0 || strcmp(reason, "ok") == 0)
                fail_msg("%s: %s after %u", rows[i].name, reason, n);
        }
        for (unsigned n = 0; n < 20; n++)
            assert_string_equal(guess(rows[i].name, rows[i].network, rows[i].good), "guessing");
    }
    /* The right one is not looked at either, in the cache neither. */
    assert_string_equal(guess("|lena@exchange-test.example|right", "", false), "guessing");
    /* One that is right is no guess. */
    for (unsigned n = 0; n < 30; n++)
        assert_string_equal(guess("|olga@exchange-test.example|right", "", false), "ok");
    /* Nor is one that the client gave up. */
    for (unsigned n = 0; n < 30; n++) {
        start(MECH_SCRAM_SHA_256, "n,,n=ghost2@exchange-test.example,r=abcdefgh", 1);
        assert_true(answer.exchange != 0);
        exchange_abort(exchanges, &(struct auth_step){ 1, answer.exchange, SPAN_OF("") }, &answer);
        account_write_down(accounts, &answer.verdict);
    }
    assert_string_equal(guess("|ghost2@exchange-test.example|x", "192.0.2.1", false), "unknown");
}

/* S28: the certificate's address is enough, and that of a mailbox that is enabled; not for somebody else's. */
static void test_external(void **state)
{
    struct auth_opening o = { .mechanism = MECH_EXTERNAL, .has_initial = true, .identity = SPAN_OF("Anna@exchange-test.example") };

    (void)state;
    /* A worker that was taken over could name anybody. */
    exchange_start(exchanges, 1, &o, &answer);
    refused("no-secret");
    admin_run("insert into postern.credential (mailbox, kind, secret)"
              " select mailbox, 'certificate', 'any' from postern.mailbox where address like '%@exchange-test.example'");
    exchange_start(exchanges, 1, &o, &answer);
    assert_int_equal(answer.verdict.verdict, AUTH_OK);
    assert_true(answer.verdict.mailbox.number > 0);
    assert_string_equal(answer.verdict.address, "anna@exchange-test.example");
    o.initial = SPAN_OF("anna@exchange-test.example");
    exchange_start(exchanges, 1, &o, &answer);
    assert_int_equal(answer.verdict.verdict, AUTH_OK);
    o.initial = SPAN_OF("off@exchange-test.example");
    exchange_start(exchanges, 1, &o, &answer);
    refused("authzid");
    o.initial = SPAN_OF("");
    o.identity = SPAN_OF("off@exchange-test.example");
    exchange_start(exchanges, 1, &o, &answer);
    refused("disabled");
    o.identity = SPAN_OF("ghost@exchange-test.example");
    exchange_start(exchanges, 1, &o, &answer);
    refused("unknown");
}

/* P4: whatever the messages are; a sanitizer looks on. */
static void test_noise(void **state)
{
    static const char *const seeds[] = {
        "n,,n=ghost,r=abcdefgh", "c=biws,r=abcdefgh,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "y,a=x,m=1,n=a=2Cb,r=z,s=1",
        "p=tls-unique,,n=ghost,r=abc", "ghost 0123456789abcdef0123456789abcdef", "p=,,=,=,,,", "n,,n=ghost,r=,c=,p=",
    };
    enum { SEEDS = sizeof seeds / sizeof seeds[0] };

    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        static const enum mechanism by[] = { MECH_SCRAM_SHA_256, MECH_SCRAM_SHA_256_PLUS, MECH_SCRAM_SHA_1, MECH_CRAM_MD5, MECH_PLAIN, MECH_APOP };
        struct auth_opening o = { .mechanism = by[rand() % 6], .has_initial = true, .exporter = SPAN_OF("01234567890123456789012345678901"),
                                  .timestamp = SPAN_OF("<1@x>") };
        char text[200];

        for (int step = 0; step < 3; step++) {
            size_t len = (size_t)snprintf(text, sizeof text, "%s", seeds[rand() % SEEDS]);
            for (int k = rand() % 4; k > 0; k--)
                text[(size_t)rand() % len] = (char)rand();
            if (rand() % 4 == 0)
                len = (size_t)rand() % len;
            /* Where its memory ends, it ends. */
            char *copy = malloc(len > 0 ? len : 1);
            assert_non_null(copy);
            memcpy(copy, text, len);
            o.initial = (struct span){ copy, len };
            if (step == 0)
                exchange_start(exchanges, 9, &o, &answer);
            else
                respond(9, answer.exchange, o.initial);
            free(copy);
            if (answer.exchange == 0)
                break;
        }
        assert_true(answer.exchange != 0 || answer.verdict.verdict != AUTH_OK);
    }
}

static int setup(void **state)
{
    (void)state;
    if (admin_connect() < 0)
        return -1;
    admin_run("delete from postern.mailbox where address like '%exchange-test.example';"
              "delete from postern.domain where name = 'exchange-test.example';"
              "delete from postern.tenant where name = 'exchange-test';"
              "insert into postern.tenant (name) values ('exchange-test');"
              "insert into postern.domain (tenant, name) select tenant, 'exchange-test.example' from postern.tenant"
              " where name = 'exchange-test';"
              "insert into postern.mailbox (domain, address, enabled) select domain, a || name, a <> 'off@'"
              " from postern.domain, unnest(array['anna@', 'off@', 'lena@', 'mara@', 'nina@', 'olga@', 'pia@']) a"
              " where name = 'exchange-test.example';"
              "insert into postern.credential (mailbox, kind, secret)"
              " select mailbox, 'password', '{SHA256}JwQvTm7KfQsqfuQCbfLs+lHTM55tEiqgmRGOzYVjutk='"
              " from postern.mailbox where address ~ '^(lena|mara|nina|olga|pia)@exchange-test.example'");
    accounts = accounts_new(auth_conninfo, &settings, schema_wanted(), login_cache_memory((size_t)settings.auth_cache));
    exchanges = exchanges_new(accounts, &settings, SERVED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    exchanges_free(&exchanges);
    accounts_free(&accounts);
    admin_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),     cmocka_unit_test(test_whose), cmocka_unit_test(test_bound),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_noise), cmocka_unit_test(test_external),
        cmocka_unit_test(test_not_served), cmocka_unit_test(test_unconfirmed), cmocka_unit_test(test_own_count),
    };
    if (without_database("auth_exchange"))
        return 0;
    log_set_level(LOG_LEVEL_ERROR);
    secret_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
