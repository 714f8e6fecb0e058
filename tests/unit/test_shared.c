/*
 * Memory that all processes share, after one of them that was taken over wrote
 * anything into it: whoever reads it, the master too, gets wrong numbers and
 * nothing worse. There is no index and no pointer in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/base/limit.c"
#include "daemon/base/metrics.c"
#include "daemon/base/primary.c"
#include "daemon/base/recent.c"

enum { ROUNDS = 20, KEYS = 300, MINUTE = 60000 };

/* All ones and all zeroes, too. */
static void scribble(void *at, size_t size, int round)
{
    if (round < 2)
        memset(at, round == 0 ? 0xFF : 0, size);
    else
        randombytes_buf(at, size);
}

static void scribble_on_limits(struct limits *l, int round)
{
    scribble((void *)(uintptr_t)l->rates->words, l->rates->size, round);
    /* All of them are 16 MiB. */
    scribble(&l->present->areas[0], sizeof l->present->areas[0], round);
    scribble((void *)(uintptr_t)l->present->taken, sizeof *l->present->taken, round);
    scribble(l->good->slots, l->good->size, round);
}

static void limits_hold(void **state)
{
    struct limits *l = limits_new();

    (void)state;
    assert_non_null(l);
    for (int round = 0; round < ROUNDS; round++) {
        scribble_on_limits(l, round);
        for (uint64_t i = 0; i < KEYS; i++) {
            const uint64_t key = i * UINT64_C(0x9E3779B97F4A7C15), now = round == 3 ? UINT64_MAX : i;
            int area;

            limit_count(l->rates, key, MINUTE, now);
            limit_add(l->rates, key, MINUTE, 100, now);
            limit_take_back(l->rates, key, MINUTE, now);
            limit_present_count(l->present, key);
            limit_enter(l->present, 0, key);
            limit_leave(l->present, 0, key);
            recent_get(l->good, key);
            recent_set(l->good, key, now);
            area = limit_area_take(l->present);
            assert_true(area >= -1 && area < LIMIT_AREAS);
            limit_area_give(l->present, area);
        }
    }
    limits_free(&l);
}

static void metrics_hold(void **state)
{
    (void)state;
    assert_true(metrics_share());
    for (int round = 0; round < ROUNDS; round++) {
        struct buf text = BUF_EMPTY;
        int seat;

        scribble(table, sizeof *table, round);
        metrics_workers();
        metrics_ready();
        for (unsigned g = 0; g < GAUGE_COUNT; g++)
            metrics_gauge((enum metric_gauge)g);
        seat = metrics_seat_take();
        assert_true(seat >= -1 && seat < SEATS);
        metrics_sit(seat);
        metrics_beat();
        metric_set((enum metric_gauge)0, 1);
        metrics_sit(-1);
        metrics_seat_free(seat);
        metric_time((enum metric_histogram)0, 1);
        metrics_text(&text);
        buf_add(&text, "", 1);
        /* A word more or less, and as much text as ever. */
        assert_true(text.len > 1000 && text.len < 100000);
        assert_int_equal(strlen(text.data), text.len - 1);
        buf_free(&text);
    }
}

/* Whatever is believed, a server that is met is used or is not. */
static void primary_holds(void **state)
{
    (void)state;
    assert_true(primary_share());
    for (int round = 0; round < ROUNDS; round++) {
        const struct primary_id id = { 7, 3 };

        scribble(in_use, sizeof *in_use, round);
        primary_heard(id, 5);
        const enum primary_met met = primary_meet(id, 5);
        assert_true(met == PRIMARY_OLD || met == PRIMARY_FOREIGN ? !primary_is(id) : primary_is(id));
        (void)primary_now();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(metrics_hold),
        cmocka_unit_test(primary_holds),
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
