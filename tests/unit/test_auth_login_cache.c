/*
 * Cached logins: found again only with the same stored secret and the same
 * password, and never more of them than there is room for.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/login_cache.h"
#include "daemon/base/secret.h"

static void test_pair(void **state)
{
    struct login_cache *p = login_cache_new(login_cache_memory(64));

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
    struct login_cache *c = login_cache_new(login_cache_memory(64));
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
    struct login_cache *a = login_cache_new(login_cache_memory(64)), *b = login_cache_new(login_cache_memory(64));

    (void)state;
    login_cache_add(a, SPAN_OF("hash"), SPAN_OF("secret"));
    assert_false(login_cache_has(b, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_free(&a);
    login_cache_free(&b);
}

/* What one process has verified, another one knows, and who comes later; one that goes takes nothing along. */
static void test_shared(void **state)
{
    int memory = login_cache_memory(64), status;
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

/* Memory of another size, or of somebody else, is none of ours; and nobody can take pages away from under a helper. */
static void test_fits(void **state)
{
    int memory = login_cache_memory(63), other = memfd_create("other", MFD_CLOEXEC), zero = open("/dev/null", O_RDWR);
    struct stat st;

    (void)state;
    assert_true(login_cache_fits(memory, 64));
    assert_false(login_cache_fits(memory, 65));
    assert_int_equal(fstat(memory, &st), 0);
    assert_int_equal(ftruncate(memory, 0), -1);
    assert_int_equal(ftruncate(other, st.st_size), 0);
    assert_false(login_cache_fits(other, 64));
    assert_false(login_cache_fits(zero, 64));
    struct login_cache *p = login_cache_new(zero);
    login_cache_add(p, SPAN_OF("hash"), SPAN_OF("secret"));
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_free(&p);
    close(memory);
    close(other);
}

static struct span numbered(char *out, size_t size, int i)
{
    return (struct span){ out, (size_t)snprintf(out, size, "hash %d", i) };
}

static void test_bound(void **state)
{
    enum { ROOM = 256, MANY = 20000 };
    struct login_cache *p = login_cache_new(login_cache_memory(ROOM));
    char hash[32];
    int found = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        login_cache_add(p, numbered(hash, sizeof hash, i), SPAN_OF("secret"));
        assert_true(login_cache_has(p, numbered(hash, sizeof hash, i), SPAN_OF("secret")));
    }
    for (int i = 0; i < MANY; i++)
        found += login_cache_has(p, numbered(hash, sizeof hash, i), SPAN_OF("secret"));
    assert_int_equal(found, ROOM);
    login_cache_free(&p);
}

/* One set: who was asked for stays, who was not goes. */
static void test_least_recent_goes(void **state)
{
    struct login_cache *p = login_cache_new(login_cache_memory(4));

    (void)state;
    login_cache_add(p, SPAN_OF("a"), SPAN_OF("x"));
    login_cache_add(p, SPAN_OF("b"), SPAN_OF("x"));
    login_cache_add(p, SPAN_OF("c"), SPAN_OF("x"));
    login_cache_add(p, SPAN_OF("d"), SPAN_OF("x"));
    assert_true(login_cache_has(p, SPAN_OF("a"), SPAN_OF("x")));
    login_cache_add(p, SPAN_OF("c"), SPAN_OF("x"));      /* again: no second place */
    login_cache_add(p, SPAN_OF("e"), SPAN_OF("x"));
    assert_false(login_cache_has(p, SPAN_OF("b"), SPAN_OF("x")));
    assert_true(login_cache_has(p, SPAN_OF("a"), SPAN_OF("x")));
    assert_true(login_cache_has(p, SPAN_OF("c"), SPAN_OF("x")));
    assert_true(login_cache_has(p, SPAN_OF("d"), SPAN_OF("x")));
    assert_true(login_cache_has(p, SPAN_OF("e"), SPAN_OF("x")));
    login_cache_free(&p);
}

static void test_off(void **state)
{
    struct login_cache *p = login_cache_new(-1);

    (void)state;
    login_cache_add(p, SPAN_OF("hash"), SPAN_OF("secret"));
    assert_false(login_cache_has(p, SPAN_OF("hash"), SPAN_OF("secret")));
    login_cache_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair), cmocka_unit_test(test_by_proof), cmocka_unit_test(test_own_key), cmocka_unit_test(test_shared), cmocka_unit_test(test_fits),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_least_recent_goes), cmocka_unit_test(test_off),
    };
    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
