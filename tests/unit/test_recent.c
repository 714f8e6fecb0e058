/* Times by key, from several processes at once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/recent.h"

static void set_and_get(void **state)
{
    (void)state;
    struct recent *r = recent_new(1000);
    assert_non_null(r);
    assert_true(recent_get(r, 0) == 0);
    assert_true(recent_get(r, 7) == 0);
    recent_set(r, 7, 123);
    recent_set(r, 0, 5);
    assert_true(recent_get(r, 7) == 123);
    assert_true(recent_get(r, 0) == 5);
    recent_set(r, 7, 124);
    assert_true(recent_get(r, 7) == 124);
    recent_free(&r);
    assert_null(r);
    recent_free(&r);
}

/* One slot for all: a key answers with its own time or with none. */
static void collision(void **state)
{
    (void)state;
    struct recent *r = recent_new(0);
    for (uint64_t key = 0; key < 1000; key++) {
        recent_set(r, key, 1000 + key);
        for (uint64_t other = 0; other < 1000; other++)
            assert_true(recent_get(r, other) == (other == key ? 1000 + key : 0));
    }
    recent_free(&r);
}

static void too_many(void **state)
{
    (void)state;
    assert_null(recent_new(SIZE_MAX));
    assert_null(recent_new(SIZE_MAX / 16));
}

/* Writers of two keys fight for one slot; a reader never sees the time of one under the other. */
static void processes(void **state)
{
    (void)state;
    struct recent *r = recent_new(1);
    for (uint64_t writer = 1; writer <= 2; writer++)
        if (fork() == 0) {
            for (uint64_t i = 1; i <= 300000; i++)
                recent_set(r, writer, i * 2 + (writer & 1));    /* odd times are of key 1, even ones of key 2 */
            _exit(0);
        }
    int ended = 0, wrong = 0, status;
    while (ended < 2) {
        for (int i = 0; i < 1000; i++) {
            uint64_t one = recent_get(r, 1), two = recent_get(r, 2);
            wrong += (one != 0 && one % 2 != 1) || two % 2 != 0;
        }
        while (waitpid(-1, &status, WNOHANG) > 0)
            ended++;
    }
    assert_int_equal(wrong, 0);
    assert_true(recent_get(r, 1) == 600001 || recent_get(r, 2) == 600000 || (recent_get(r, 1) | recent_get(r, 2)) == 0);
    recent_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_get),
        cmocka_unit_test(collision),
        cmocka_unit_test(too_many),
        cmocka_unit_test(processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
