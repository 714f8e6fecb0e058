/*
 * Messages in memory and in files, and the bounds of both (LD10).
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/deliver/spool.h"

static char dir[] = "/tmp/postern-test-spool-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

static size_t names_in_dir(void)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static char *octets(size_t n)
{
    char *data = mem_alloc(n + 1);
    randombytes_buf_deterministic(data, n, (const unsigned char[randombytes_SEEDBYTES]){ 1 });
    return data;
}

static bool add_in_steps(struct spool *spool, const char *data, size_t n, size_t step)
{
    bool ok = true;
    for (size_t at = 0; at < n; at += step)
        ok = spool_add(spool, (struct span){ data + at, n - at < step ? n - at : step }) && ok;
    return ok;
}

static bool read_back(struct spool *spool, uint64_t offset, char *out, size_t size, size_t *len_r)
{
    struct span data;
    bool there = spool_fetch(spool, offset, size, &data) == SPOOL_READY;

    *len_r = there ? data.len : 0;
    memcpy(out, data.at, *len_r);
    return there;
}

static void check_content(struct spool *spool, const char *data, size_t n)
{
    unsigned char want[CONTENT_DIGEST], got[CONTENT_DIGEST];
    char *out = mem_alloc(n + 10);
    size_t len;

    assert_int_equal(spool_octets(spool), n);
    for (size_t at = 0; at < n; at += 99991) {
        assert_true(read_back(spool, at, out, 100000, &len));
        assert_int_equal(len, n - at < 100000 ? n - at : 100000);
        assert_memory_equal(out, data + at, len);
    }
    assert_true(read_back(spool, n, out, 10, &len));
    assert_int_equal(len, 0);
    if (spool_memory(spool) != NULL)
        assert_memory_equal(spool_memory(spool), data, n);
    spool_digest(spool, got);
    crypto_generichash(want, sizeof want, (const unsigned char *)data, n, NULL, 0);
    assert_memory_equal(got, want, sizeof want);
    mem_free(out);
}

static void test_content(void **state)
{
    static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 262143, 262144, 262145, 300000, 2000000 };
    static const size_t steps[] = { 1000, 16384, 65536, 3000000 };
    char *data = octets(2000000);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            struct spool_space *space = spool_space_new(dir, 1 << 20, 1 << 24);
            struct spool *spool = spool_new(space);
            assert_true(add_in_steps(spool, data, sizes[i], steps[k]));
            assert_int_equal(spool_memory(spool) != NULL, sizes[i] <= SPOOL_MEMORY);
            assert_true(spool_space_memory(space) <= SPOOL_MEMORY);
            assert_int_equal(names_in_dir(), 0);
            check_content(spool, data, sizes[i]);
            spool_free(&spool);
            assert_null(spool);
            assert_int_equal(spool_space_memory(space), 0);
            assert_int_equal(spool_space_disk(space), 0);
            spool_space_free(&space);
        }
    }
    mem_free(data);
}

/* Thousands of pieces are not thousands of writes; they are the same octets. */
static void test_small_pieces(void **state)
{
    struct spool_space *space = spool_space_new(dir, 0, 1 << 24);
    struct spool *spool = spool_new(space);
    char *data = octets(200000);

    (void)state;
    assert_true(add_in_steps(spool, data, 200000, 3));
    assert_null(spool_memory(spool));
    check_content(spool, data, 200000);
    spool_free(&spool);
    spool_space_free(&space);
    mem_free(data);
}

/* What all together may take in memory: the next one goes to its file at once. */
static void test_memory_bound(void **state)
{
    struct spool_space *space = spool_space_new(dir, 3 * 65536, 1 << 24);
    struct spool *spools[5];
    char *data = octets(60000);

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        spools[i] = spool_new(space);
        assert_true(add_in_steps(spools[i], data, 60000, 60000));
        assert_int_equal(spool_memory(spools[i]) != NULL, i < 3);
    }
    for (size_t i = 0; i < 5; i++) {
        check_content(spools[i], data, 60000);
        spool_free(&spools[i]);
    }
    assert_int_equal(spool_space_memory(space), 0);
    spool_space_free(&space);
    mem_free(data);
}

static void test_disk_bound(void **state)
{
    struct spool_space *space = spool_space_new(dir, 1 << 20, 1 << 20);
    struct spool *first = spool_new(space), *second = spool_new(space);
    char *data = octets(1 << 20);
    size_t len;

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    assert_true(add_in_steps(first, data, 700000, 16384));
    assert_false(add_in_steps(second, data, 700000, 16384));
    /* It keeps nothing, says so, and goes on saying so. */
    assert_false(spool_add(second, SPAN_OF("x")));
    assert_false(read_back(second, 0, data, 1, &len));
    assert_true(spool_space_disk(space) <= 700000);
    spool_free(&first);
    assert_int_equal(spool_space_disk(space), 0);
    spool_free(&second);
    spool_space_free(&space);
    mem_free(data);
}

static void test_no_directory(void **state)
{
    struct spool_space *space = spool_space_new("/nonexistent/postern", 1 << 20, 1 << 24);
    struct spool *spool = spool_new(space);
    char *data = octets(300000);

    (void)state;
    assert_true(add_in_steps(spool, data, 200000, 16384));      /* memory needs none */
    assert_false(add_in_steps(spool, data, 300000, 16384));
    spool_free(&spool);
    assert_int_equal(spool_space_memory(space), 0);
    spool_space_free(&space);
    mem_free(data);
}

static void test_drop(void **state)
{
    struct spool_space *space = spool_space_new(dir, 1 << 20, 1 << 24);
    struct spool *spool = spool_new(space);
    char *data = octets(500000);

    (void)state;
    assert_true(add_in_steps(spool, data, 500000, 16384));
    spool_drop(spool);
    assert_int_equal(spool_space_memory(space), 0);
    assert_int_equal(spool_space_disk(space), 0);
    assert_false(spool_add(spool, SPAN_OF("x")));
    /* The space outlives what is left of it. */
    spool_space_free(&space);
    spool_free(&spool);
    mem_free(data);
}

/* No spool may write a file beyond so many octets: as if the file system were full there. RLIM_INFINITY: all may. */
static void limit_files(rlim_t octets)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void expect_failed(struct spool *spool, struct spool_space *space)
{
    char byte;
    size_t len;

    assert_false(spool_add(spool, SPAN_OF("x")));
    assert_false(read_back(spool, 0, &byte, 1, &len));
    assert_int_equal(len, 0);
    assert_int_equal(spool_octets(spool), 0);
    assert_int_equal(spool_space_memory(space), 0);
    assert_int_equal(spool_space_disk(space), 0);
}

/* The file system is full in the middle of a write: what was written is given back too. */
static void test_full_file_system(void **state)
{
    struct spool_space *space = spool_space_new(dir, 1 << 20, 1 << 24);
    struct spool *spool = spool_new(space);
    char *data = octets(400000);

    (void)state;
    limit_files(300000);
    assert_true(add_in_steps(spool, data, 290000, 16384));
    assert_false(add_in_steps(spool, data, 110000, 16384));
    limit_files(RLIM_INFINITY);
    expect_failed(spool, space);
    spool_free(&spool);
    spool_space_free(&space);
    mem_free(data);
}

/* What is left in the buffer goes to the file when it is read back: where that fails nothing was read. */
static void test_full_when_read_back(void **state)
{
    struct spool_space *space = spool_space_new(dir, 1 << 20, SPOOL_MEMORY + 10);
    struct spool *spool = spool_new(space);
    char *data = octets(SPOOL_MEMORY);
    size_t len;

    (void)state;
    assert_true(add_in_steps(spool, data, SPOOL_MEMORY, 16384));
    assert_true(spool_add(spool, SPAN_OF("0123456789ab")));
    assert_null(spool_memory(spool));
    assert_int_equal(spool_settle(spool), SPOOL_FAILED);
    assert_false(read_back(spool, 0, data, 10, &len));
    expect_failed(spool, space);
    spool_free(&spool);
    spool_space_free(&space);
    mem_free(data);
}

/* Files are bounded more narrowly than memory: what does not stay in memory finds no room. */
static void test_less_disk_than_memory(void **state)
{
    struct spool_space *space = spool_space_new(dir, 1 << 20, 1000);
    struct spool *spool = spool_new(space);
    char *data = octets(SPOOL_MEMORY);

    (void)state;
    assert_true(add_in_steps(spool, data, SPOOL_MEMORY, 16384));
    assert_false(spool_add(spool, SPAN_OF("x")));
    expect_failed(spool, space);
    spool_free(&spool);
    spool_space_free(&space);
    mem_free(data);
}

/* A file system that can make neither a file without a name nor one with a name: /proc, even for root. */
static void test_no_files_there(void **state)
{
    struct spool_space *space = spool_space_new("/proc", 0, 1 << 24);
    struct spool *spool = spool_new(space);

    (void)state;
    /* The file is made for the first piece of it. */
    assert_true(spool_add(spool, SPAN_OF("x")));
    assert_int_equal(spool_settle(spool), SPOOL_FAILED);
    expect_failed(spool, space);
    spool_free(&spool);
    spool_space_free(&space);
}

/* The file behind the spool, which has no name, loses its end. */
static void cut_file(off_t octets)
{
    char name[64], target[PATH_MAX];
    int cut = 0;

    for (int fd = 3; fd < 100; fd++) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(name, target, sizeof target - 1);
        if (n > 0 && strncmp(target, dir, strlen(dir)) == 0)
            cut += ftruncate(fd, octets) == 0;
    }
    assert_int_equal(cut, 1);
}

/* A damaged file system: what is there is read, and a short message never passes for the whole one. */
static void test_cut_file(void **state)
{
    struct spool_space *space = spool_space_new(dir, 0, 1 << 24);
    struct spool *spool = spool_new(space);
    char *data = octets(500000), *out = mem_alloc(500000);
    size_t len;

    (void)state;
    assert_true(add_in_steps(spool, data, 500000, 16384));
    assert_true(read_back(spool, 0, out, 500000, &len));
    cut_file(100000);
    assert_true(read_back(spool, 0, out, 100000, &len));
    assert_int_equal(len, 100000);
    assert_memory_equal(out, data, len);
    assert_false(read_back(spool, 0, out, 500000, &len));
    assert_false(read_back(spool, 200000, out, 1000, &len));
    assert_int_equal(len, 0);
    spool_free(&spool);
    assert_int_equal(spool_space_disk(space), 0);
    spool_space_free(&space);
    mem_free(out);
    mem_free(data);
}

static void test_nothing_to_free(void **state)
{
    struct spool_space *no_space = NULL;
    struct spool *none = NULL;

    (void)state;
    spool_free(&none);
    spool_space_free(&no_space);
    assert_null(no_space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_small_pieces),
        cmocka_unit_test(test_memory_bound),
        cmocka_unit_test(test_disk_bound),
        cmocka_unit_test(test_no_directory),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_full_file_system),
        cmocka_unit_test(test_full_when_read_back),
        cmocka_unit_test(test_less_disk_than_memory),
        cmocka_unit_test(test_no_files_there),
        cmocka_unit_test(test_cut_file),
        cmocka_unit_test(test_nothing_to_free),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
