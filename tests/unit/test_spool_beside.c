/*
 * Spools whose disk stands still, or fails, while the loop goes on. The disk is
 * pwrite() and pread() below, which wait at a gate.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/base/thread.h"
#include "daemon/net/loop.h"
#include "storage/deliver/disk.h"
#include "storage/deliver/spool.h"

enum { LARGE = 3000000 };

static struct loop *loop;
static char *octets;

/* ------------------------------------------------------------ disk and clock */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool closed;
static int fails_with;
static unsigned touched;
static uint64_t later_s;

static int pass_gate(void)
{
    pthread_mutex_lock(&lock);
    touched++;
    while (closed)
        pthread_cond_wait(&opened, &lock);
    errno = fails_with;
    int error = fails_with;
    pthread_mutex_unlock(&lock);
    return error;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return pass_gate() != 0 ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
    return pass_gate() != 0 ? -1 : (ssize_t)syscall(SYS_pread64, fd, data, len, at);
}

/* The loop's, and libevent's: a minute passes when a test says so. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int result = (int)syscall(SYS_clock_gettime, id, t);

    if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE)
        t->tv_sec += (time_t)later_s;
    return result;
}

static void gate(bool close, int error)
{
    pthread_mutex_lock(&lock);
    closed = close;
    fails_with = error;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}

static unsigned touches(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = touched;
    pthread_mutex_unlock(&lock);
    return n;
}

/* ------------------------------------------------------------------- fixture */

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void turn(void)
{
    struct timer *t = timer_new(loop, stop, NULL);

    timer_set(t, 5);
    loop_run(loop);
    timer_free(&t);
}

static size_t open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static struct spool_space *space_new(uint64_t memory)
{
    struct spool_space *space = spool_space_new("/tmp", memory, 1 << 28);

    spool_space_beside(space, loop);
    return space;
}

static void until_empty(struct spool_space *space)
{
    for (int i = 0; i < 2000 && spool_space_disk(space) + spool_space_memory(space) > 0; i++)
        turn();
    assert_int_equal(spool_space_disk(space), 0);
    assert_int_equal(spool_space_memory(space), 0);
}

static void confine(void *arg)
{
    (void)arg;
}

static int set_up(void **state)
{
    (void)state;
    secret_init();
    log_set_level(LOG_LEVEL_ERROR);
    octets = mem_alloc(LARGE);
    randombytes_buf_deterministic(octets, LARGE, (const unsigned char[randombytes_SEEDBYTES]){ 2 });
    loop = loop_new();
    if (!disk_start() || !disk_start())
        return -1;
    threads_confine(confine, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(&loop);
    mem_free(octets);
    return 0;
}

/* What a client sends: no more while the spool is behind. */
struct client {
    struct spool *spool;
    size_t at, size;
    unsigned waits;
    bool settled, failed, answered;
    char *back;
    size_t got;
};

static void go_on(void *arg)
{
    struct client *c = arg;
    struct span data;

    while (c->at < c->size && !c->failed) {
        if (spool_behind(c->spool)) {
            c->waits++;
            return;
        }
        size_t n = c->size - c->at < 16384 ? c->size - c->at : 16384;
        c->failed = !spool_add(c->spool, (struct span){ octets + c->at, n });
        c->at += n;
    }
    while (!c->failed && c->got < c->size) {
        enum spool_state state = spool_fetch(c->spool, c->got, 256000, &data);
        if (state == SPOOL_WAIT)
            return;
        c->failed = state == SPOOL_FAILED;
        if (c->failed)
            break;
        memcpy(c->back + c->got, data.at, data.len);
        c->got += data.len;
    }
    c->answered = true;
    spool_free(&c->spool);
}

static void client_start(struct client *c, struct spool_space *space, size_t size)
{
    *c = (struct client){ .spool = spool_new(space), .size = size, .back = mem_alloc(size) };
    spool_watch(c->spool, go_on, c);
    go_on(c);
}

static void client_end(struct client *c, bool well)
{
    for (int i = 0; i < 2000 && !c->answered; i++)
        turn();
    assert_true(c->answered);
    assert_int_equal(c->failed, !well);
    if (well) {
        assert_int_equal(c->got, c->size);
        assert_memory_equal(c->back, octets, c->size);
    }
    mem_free(c->back);
}

/* --------------------------------------------------------------------- tests */

static void test_many(void **state)
{
    struct client clients[20];
    struct spool_space *space = space_new(1 << 20);
    size_t files = open_files();

    (void)state;
    for (size_t i = 0; i < 20; i++)
        client_start(&clients[i], space, LARGE - i * 100001);
    for (size_t i = 0; i < 20; i++)
        client_end(&clients[i], true);
    until_empty(space);
    assert_int_equal(open_files(), files);
    spool_space_free(&space);
}

/* The loop is free, what fits into memory asks for no disk, and memory is bounded; when the disk goes on all is there. */
static void test_stands_still(void **state)
{
    struct client large[8], small;
    struct spool_space *space = space_new(16 << 20);

    (void)state;
    gate(true, 0);
    for (size_t i = 0; i < 8; i++)
        client_start(&large[i], space, LARGE);
    turn();
    unsigned before = touches();
    client_start(&small, space, SPOOL_MEMORY);
    assert_true(small.answered);
    client_end(&small, true);
    for (size_t i = 0; i < 8; i++) {
        assert_false(large[i].answered);
        assert_int_equal(large[i].waits, 1);
    }
    assert_true(spool_space_memory(space) <= 8 * (SPOOL_MEMORY + 2 * 131072));
    assert_int_equal(touches(), before);
    gate(false, 0);
    for (size_t i = 0; i < 8; i++)
        client_end(&large[i], true);
    until_empty(space);
    spool_space_free(&space);
}

/* The sessions of a full disk hear of it: at the latest when they settle. */
static void test_full(void **state)
{
    struct client large[4];
    struct spool_space *space = space_new(16 << 20);

    (void)state;
    gate(true, 0);
    for (size_t i = 0; i < 4; i++)
        client_start(&large[i], space, i == 0 ? SPOOL_MEMORY + 1 : LARGE);
    gate(false, ENOSPC);
    for (size_t i = 0; i < 4; i++)
        client_end(&large[i], false);
    gate(false, 0);
    until_empty(space);
    spool_space_free(&space);
}

/* Clients go while their octets are on their way, and while they are read back. */
static void test_abandoned(void **state)
{
    struct client large[12];
    struct spool_space *space = space_new(16 << 20);
    size_t files = open_files();

    (void)state;
    for (int reading = 0; reading < 2; reading++) {
        gate(reading == 0, 0);
        for (size_t i = 0; i < 12; i++) {
            large[i] = (struct client){ .spool = spool_new(space), .size = LARGE };
            assert_true(spool_add(large[i].spool, (struct span){ octets, 600000 }));
        }
        for (int turns = 0; reading && turns < 2000 && spool_settle(large[11].spool) != SPOOL_READY; turns++)
            for (size_t i = 0; i < 12; i++)
                (void)(spool_settle(large[i].spool) == SPOOL_READY || (turn(), true));
        gate(true, 0);
        for (size_t i = 0; reading && i < 12; i++) {
            struct span none;
            assert_int_equal(spool_fetch(large[i].spool, 0, 256000, &none), SPOOL_WAIT);
        }
        turn();
        for (size_t i = 0; i < 11; i++)
            spool_free(&large[i].spool);
        gate(false, 0);
        large[11].back = mem_alloc(LARGE);
        large[11].size = 600000;
        large[11].at = 600000;
        spool_watch(large[11].spool, go_on, &large[11]);
        client_end(&large[11], true);
        until_empty(space);
        assert_int_equal(open_files(), files);
    }
    spool_space_free(&space);
}

/* A minute is enough: the message is refused, the others that follow have a minute of their own. */
static void test_patience(void **state)
{
    struct client first, second;
    struct spool_space *space = space_new(16 << 20);

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    gate(true, 0);
    client_start(&first, space, LARGE);
    later_s += 40;
    turn();
    client_start(&second, space, LARGE);
    later_s += 2;
    turn();
    turn();
    assert_false(first.answered);
    later_s += 30;
    client_end(&first, false);
    assert_false(second.answered);
    gate(false, 0);
    client_end(&second, true);
    until_empty(space);
    spool_space_free(&space);
}

/* The end of a process does not wait for a disk that hangs; what it hangs on is freed when it goes on. */
static void test_end(void **state)
{
    struct client large[3];
    struct spool_space *space = space_new(16 << 20), *next;
    size_t files = open_files();

    (void)state;
    gate(true, 0);
    for (size_t i = 0; i < 3; i++)
        client_start(&large[i], space, LARGE);
    turn();
    spool_space_free(&space);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(spool_settle(large[i].spool), SPOOL_FAILED);
        spool_free(&large[i].spool);
        mem_free(large[i].back);
    }
    gate(false, 0);
    /* The thread serves whoever comes next. */
    next = space_new(16 << 20);
    client_start(&large[0], next, LARGE);
    client_end(&large[0], true);
    until_empty(next);
    spool_space_free(&next);
    assert_true(open_files() <= files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_stands_still),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
