/*
 * Cached logins: found again only with the same stored secret and the same
 * password, as many of them as there is room for; and what is kept of policies:
 * for whom, from where, for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/account/policies.h"
#include "auth/login_cache.h"
#include "tests/unit/chance.h"
#include "daemon/base/secret.h"

enum { MEMORY = 65536 };

static void test_pair(void **state)
{
    struct login_cache *p = login_cache_new(login_cache_memory(MEMORY));

    (void)state;
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_add(p, SPAN_OF("hash"), SPAN_OF("secret"));
    assert_true(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
    assert_true(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
    /* Another password; the password was changed, so there is another hash; the border is somewhere else. */
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("Secret")));
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret\0")));
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("")));
    assert_false(login_cache_has(p, SPAN_OF("hash2"), SPAN_OF("secret")));
    assert_false(login_cache_has(p, SPAN_OF("hashs"), SPAN_OF("ecret")));
    assert_false(login_cache_has(p, SPAN_OF("has"), SPAN_OF("hsecret")));
    login_cache_free(&p);
    assert_null(p);
    login_cache_free(&p);
}

/* By a mailbox and its number: neither another mailbox's nor another number's, nor what was verified against a secret. */
static void test_by_proof(void **state)
{
    struct login_cache *c = login_cache_new(login_cache_memory(MEMORY));
    const struct mailbox_ref one = { 1 }, twelve = { 12 };

    (void)state;
    login_cache_add_proof(c, &twelve, 3, SPAN_OF("secret"));
    assert_true(login_cache_has_proof(c, &twelve, 3, SPAN_OF("secret")));
    assert_false(login_cache_has_proof(c, &twelve, 4, SPAN_OF("secret")));
    assert_false(login_cache_has_proof(c, &one, 23, SPAN_OF("secret")));
    assert_false(login_cache_has_proof(c, &twelve, 3, SPAN_OF("Secret")));
    assert_false(login_cache_has(c, SPAN_OF("12"), SPAN_OF("secret")));
    login_cache_free(&c);
}

/* Two tables know nothing of each other. */
static void test_own_key(void **state)
{
    struct login_cache *a = login_cache_new(login_cache_memory(MEMORY)), *b = login_cache_new(login_cache_memory(MEMORY));

    (void)state;
    login_cache_add(a, SPAN_OF("hash"), SPAN_OF("secret"));
    assert_false(login_cache_has(b, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_free(&a);
    login_cache_free(&b);
}

/* What one process has verified, another one knows, and who comes later; one that goes takes nothing along. */
static void test_shared(void **state)
{
    int memory = login_cache_memory(MEMORY), status;
    struct login_cache *here = login_cache_new(dup(memory));
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct login_cache *there = login_cache_new(dup(memory));
        login_cache_add(there, SPAN_OF("hash"), SPAN_OF("secret"));
        login_cache_free(&there);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(login_cache_has(here, SPAN_OF("hash"), SPAN_OF("secret")));
    assert_false(login_cache_has(here, SPAN_OF("hash"), SPAN_OF("Secret")));
    login_cache_free(&here);
    here = login_cache_new(memory);
    assert_true(login_cache_has(here, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_free(&here);
    assert_int_equal(fcntl(memory, F_GETFD), -1);
}

/* Memory of another size, of somebody else or of another program's layout is none of ours; and nobody can take pages away from under a helper. */
static void test_fits(void **state)
{
    int memory = login_cache_memory(MEMORY), other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING), zero = open("/dev/null", O_RDWR);
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
    char layout[16];

    (void)state;
    assert_true(login_cache_fits(memory, MEMORY));
    assert_false(login_cache_fits(memory, MEMORY + 1));
    assert_int_equal(ftruncate(memory, 0), -1);
    assert_int_equal(ftruncate(other, MEMORY), 0);
    assert_int_equal(fcntl(other, F_ADD_SEALS, seals), 0);
    assert_false(login_cache_fits(other, MEMORY));
    assert_false(login_cache_fits(zero, MEMORY));
    assert_int_equal(pread(memory, layout, sizeof layout, 0), sizeof layout);
    assert_int_equal(pwrite(other, layout, sizeof layout, 0), sizeof layout);
    assert_true(login_cache_fits(other, MEMORY));
    layout[12]++;
    assert_int_equal(pwrite(other, layout, sizeof layout, 0), sizeof layout);
    assert_false(login_cache_fits(other, MEMORY));
    for (int i = 0; i < 2; i++) {
        struct login_cache *p = login_cache_new(i == 0 ? zero : other);
        assert_false(login_cache_is_on(p));
        login_cache_add(p, SPAN_OF("hash"), SPAN_OF("secret"));
        assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
        login_cache_free(&p);
    }
    close(memory);
}

/* Whatever is asked for is in the memory by hashes with its key alone. */
static void test_nothing_in_the_clear(void **state)
{
    int memory = login_cache_memory(MEMORY);
    struct login_cache *c = login_cache_new(dup(memory));
    static char octets[MEMORY];

    (void)state;
    login_cache_add(c, SPAN_OF("$argon2id$stored"), SPAN_OF("correct horse"));
    login_cache_add_proof(c, &(struct mailbox_ref){ 7 }, 9, SPAN_OF("correct horse"));
    policies_put(c, "anna@example.org", "192.0.2.1", 1000, &(struct policy_entry){ .mailbox = { 7 }, .versions = { 9, 3 } });
    assert_int_equal(pread(memory, octets, sizeof octets, 0), sizeof octets);
    assert_null(memmem(octets, sizeof octets, "stored", 6));
    assert_null(memmem(octets, sizeof octets, "horse", 5));
    assert_null(memmem(octets, sizeof octets, "anna", 4));
    assert_null(memmem(octets, sizeof octets, "192.0", 5));
    login_cache_free(&c);
    close(memory);
}

/* ---------------------------------------------------------------- policies */

enum { HOUR = 3600, NOON = 500000 };

static void test_policy(void **state)
{
    struct login_cache *c = login_cache_new(login_cache_memory(MEMORY)), *other = login_cache_new(login_cache_memory(MEMORY));
    const struct policy_entry e = {
        .mailbox = { INT64_MAX }, .versions = { INT64_MAX - 1, INT64_MAX - 2 },
        .policy = { .pop3 = true, .tls_only = true, .replace_nul = true, .login_delay = AUTH_UNSET, .expire = INT32_MAX, .domain = 1, .tenant = 2,
                    .domain_sessions = 0, .tenant_sessions = AUTH_UNSET },
    }, none = { .versions = { 0, INT64_MAX - 2 } };
    struct policy_entry found;

    (void)state;
    assert_false(policies_get(c, "anna@example.org", "", NOON, &found));
    login_cache_set_version(c, e.versions.policy);
    policies_put(c, "anna@example.org", "192.0.2.1", NOON, &e);
    assert_true(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found));
    assert_true(mailbox_same(&found.mailbox, &e.mailbox) && memcmp(&found.versions, &e.versions, sizeof e.versions) == 0);
    assert_true(found.policy.pop3 && found.policy.tls_only && found.policy.replace_nul && !found.policy.trace && found.policy.maintenance.len == 0);
    assert_true(found.policy.login_delay == AUTH_UNSET && found.policy.expire == INT32_MAX && found.policy.domain == 1 && found.policy.tenant == 2 &&
                found.policy.domain_sessions == 0 && found.policy.tenant_sessions == AUTH_UNSET);
    assert_false(policies_get(c, "anna@example.org", "", NOON, &found));
    assert_false(policies_get(c, "anna@example.org", "192.0.2.2", NOON, &found));
    assert_false(policies_get(c, "bert@example.org", "192.0.2.1", NOON, &found));
    assert_false(policies_get(other, "anna@example.org", "192.0.2.1", NOON, &found));
    /* Each network of its own. */
    policies_put(c, "anna@example.org", "", NOON, &none);
    assert_true(policies_get(c, "anna@example.org", "", NOON, &found) && !found.policy.pop3 && found.versions.proof == 0);
    assert_true(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found) && found.policy.pop3);
    /* A helper has seen another version. */
    login_cache_set_version(c, 7);
    assert_false(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found));
    /* The clock of who has put it is not the one that is asked for. */
    login_cache_set_version(c, e.versions.policy);
    assert_false(policies_get(c, "anna@example.org", "192.0.2.1", NOON - 9 * HOUR, &found));
    assert_true(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found));
    /* What it depends on beside the database: another helper has other keys. */
    login_cache_add(c, SPAN_OF("hash"), SPAN_OF("secret"));
    login_cache_depend(c, SPAN_OF("one"));
    assert_false(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found));
    assert_true(login_cache_has(c, SPAN_OF("hash"), SPAN_OF("secret")));
    policies_put(c, "anna@example.org", "192.0.2.1", NOON, &none);
    login_cache_depend(c, SPAN_OF("two"));
    assert_false(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found));
    login_cache_depend(c, SPAN_OF("one"));
    assert_true(policies_get(c, "anna@example.org", "192.0.2.1", NOON, &found) && found.versions.proof == 0);
    login_cache_free(&c);
    login_cache_free(&other);
}

/* Kept at one time, they end at many: in no quarter of an hour more than a few. */
static void test_ages(void **state)
{
    enum { MANY = 2000, STEP = HOUR / 4 };
    struct login_cache *c = login_cache_new(login_cache_memory(1 << 20));
    size_t before = MANY;
    char name[32];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "u%d", i);
        policies_put(c, name, "192.0.2.1", NOON, &(struct policy_entry){ .mailbox = { 7 } });
    }
    for (uint32_t after = POLICIES_KEPT_LEAST_S - 1; after <= POLICIES_KEPT_MOST_S + STEP; after += STEP) {
        struct policy_entry found;
        size_t there = 0;
        for (int i = 0; i < MANY; i++) {
            snprintf(name, sizeof name, "u%d", i);
            there += policies_get(c, name, "192.0.2.1", NOON + after, &found);
        }
        if (after < POLICIES_KEPT_LEAST_S)
            assert_int_equal(there, MANY);
        if (after > POLICIES_KEPT_MOST_S)
            assert_int_equal(there, 0);
        /* 3 of 100 on the average. */
        assert_true(before - there <= MANY / 16);
        before = there;
    }
    login_cache_free(&c);
}

/*
 * As many mailboxes as the manual says that there is room for: of 100 later polls 95 find both
 * password and policy, and with a tenth more memory all do.
 */
static unsigned polls_answered(size_t octets, unsigned mailboxes)
{
    enum { ROUNDS = 5 };
    struct login_cache *c = login_cache_new(login_cache_memory(octets));
    struct policy_entry found;
    unsigned answered = 0;
    char name[32];

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 1; i <= mailboxes; i++) {
            const struct mailbox_ref mailbox = { i };
            snprintf(name, sizeof name, "u%u@example.org", i);
            bool policy = policies_get(c, name, "192.0.2.1", NOON + round * 300, &found);
            bool password = login_cache_has_proof(c, &mailbox, 9, SPAN_OF("secret"));
            if (!policy)
                policies_put(c, name, "192.0.2.1", NOON + round * 300, &(struct policy_entry){ .mailbox = mailbox });
            if (!password)
                login_cache_add_proof(c, &mailbox, 9, SPAN_OF("secret"));
            answered += round > 0 && policy && password;
        }
    login_cache_free(&c);
    return (unsigned)((uint64_t)answered * 10000 / (mailboxes * (ROUNDS - 1)));
}

static void test_hit_rate(void **state)
{
    enum { MAILBOXES = 4000 };

    (void)state;
    assert_in_range(polls_answered(4096 + MAILBOXES * LOGIN_CACHE_EACH, MAILBOXES), 9500, 10000);
    assert_in_range(polls_answered(4096 + MAILBOXES * LOGIN_CACHE_EACH * 11 / 10, MAILBOXES), 9990, 10000);
}

static void test_off(void **state)
{
    struct login_cache *p = login_cache_new(-1);
    struct policy_entry e = { .mailbox = { 1 } };

    (void)state;
    assert_false(login_cache_is_on(p));
    login_cache_add(p, SPAN_OF("hash"), SPAN_OF("secret"));
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_set_version(p, 1);
    policies_put(p, "anna@example.org", "", NOON, &e);
    assert_false(policies_get(p, "anna@example.org", "", NOON, &e));
    login_cache_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair), cmocka_unit_test(test_by_proof), cmocka_unit_test(test_own_key), cmocka_unit_test(test_shared), cmocka_unit_test(test_fits),
        cmocka_unit_test(test_nothing_in_the_clear), cmocka_unit_test(test_policy), cmocka_unit_test(test_ages), cmocka_unit_test(test_hit_rate),
        cmocka_unit_test(test_off),
    };
    if (!chance_begin(1))
        return 1;
    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
