/*
 * test_metrics.c - counters over processes, histograms, seats, the text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "storage/deliver/statements.h"
#include "storage/maildrop/statements.h"

static char *text(void)
{
    struct buf b = BUF_EMPTY;

    metrics_text(&b);
    buf_add(&b, "", 1);
    return b.data;
}

static unsigned long long value(const char *name)
{
    char *all = text(), *at, line[128];
    unsigned long long n;

    snprintf(line, sizeof line, "\n%s ", name);
    at = strstr(all, line);
    assert_non_null(at);
    n = strtoull(at + strlen(line), NULL, 10);
    free(all);
    return n;
}

static void wait_for(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Before anything is shared it counts for itself. */
static void test_not_shared(void **state)
{
    (void)state;
    metric_add(METRIC_KICKED, 1);
    metric_set(GAUGE_LANES, 3);
    metrics_beat();
    assert_int_equal(metrics_workers(), 0);
    assert_int_equal(metrics_seat_take(), -1);
    assert_false(metrics_ready());
    char *all = text();
    assert_string_equal(all, "");
    free(all);
    assert_true(metrics_share());
    assert_int_equal(value("postern_pop3_kicked_total"), 0);
}

static void test_a_dead_process_leaves_its_counts(void **state)
{
    (void)state;
    for (unsigned cell = 1; cell <= 130; cell++) {
        pid_t pid = fork();

        if (pid == 0) {
            metrics_use(cell);
            metric_add(METRIC_LOGIN_OK, 2);
            metric_time(HISTOGRAM_SQL, 100);        /* the bound belongs to its bucket */
            metric_time(HISTOGRAM_SQL, 101);
            metric_time(HISTOGRAM_SQL, 60000000);
            _exit(0);
        }
        wait_for(pid);
    }
    assert_int_equal(value("postern_pop3_logins_total{result=\"ok\"}"), 260);
    assert_int_equal(value("postern_database_statement_seconds_bucket{le=\"0.0001\"}"), 130);
    assert_int_equal(value("postern_database_statement_seconds_bucket{le=\"0.00025\"}"), 260);
    assert_int_equal(value("postern_database_statement_seconds_bucket{le=\"10\"}"), 260);
    assert_int_equal(value("postern_database_statement_seconds_bucket{le=\"+Inf\"}"), 390);
    assert_int_equal(value("postern_database_statement_seconds_count"), 390);
    assert_int_equal(value("postern_database_statement_seconds_sum"), 130 * 60);
}

static double seconds_of(const char *statement)
{
    char name[100], *all = text(), *at;

    snprintf(name, sizeof name, "\npostern_database_statement_longest_seconds{statement=\"%s\"} ", statement);
    at = strstr(all, name);
    assert_non_null(at);
    double seconds = strtod(at + strlen(name), NULL);
    free(all);
    return seconds;
}

/* Of all processes, and of the last minutes alone. */
static void test_the_longest(void **state)
{
    uint64_t now = clock_us();

    (void)state;
    for (unsigned cell = 1; cell <= 3; cell++) {
        pid_t pid = fork();

        if (pid == 0) {
            metrics_use(cell);
            metric_longest(LONGEST_EXPUNGE, now, 1000000 * (cell % 3));
            metric_longest(LONGEST_EXPUNGE, now, 250000);
            _exit(0);
        }
        wait_for(pid);
    }
    assert_int_equal((int)(seconds_of("expunge") * 1000), 2000);
    assert_int_equal((int)(seconds_of("open") * 1000), 0);
    metric_longest(LONGEST_OPEN, now + 5 * (uint64_t)METRIC_WINDOW_US, 3000000);      /* not of these minutes */
    assert_int_equal((int)(seconds_of("open") * 1000), 0);
    metric_longest(LONGEST_OPEN, now, UINT64_MAX);
    assert_true(seconds_of("open") > 1000000);
}

/* Each statement has a line of its own. */
static void test_statements(void **state)
{
    static const struct pg_statements *const tables[] = { &maildrop_statements, &delivery_statements };

    (void)state;
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < tables[t]->count; i++)
            if (metric_longest_of(tables[t]->at[i].name) == LONGEST_OTHER)
                fail_msg("daemon/base/metrics.def has no line for %s", tables[t]->at[i].name);
    assert_int_equal(metric_longest_of("no such statement"), LONGEST_OTHER);
}

static void test_gauges_end_with_their_worker(void **state)
{
    int a = metrics_seat_take(), b = metrics_seat_take();

    (void)state;
    assert_true(a >= 0 && b >= 0 && a != b);
    metrics_sit(a);
    metric_set(GAUGE_LANES_UP, 3);
    assert_int_equal(metrics_workers(), 0);         /* not heard of yet */
    assert_int_equal(value("postern_database_lanes_up"), 0);
    metrics_beat();
    assert_int_equal(metrics_workers(), 1);
    assert_false(metrics_ready());                  /* who verifies passwords? */
    metric_set(GAUGE_HELPERS, 2);
    assert_true(metrics_ready());
    metrics_sit(b);
    metric_set(GAUGE_LANES_UP, 4);
    metrics_beat();
    assert_int_equal(value("postern_database_lanes_up"), 7);
    assert_int_equal(value("postern_workers"), 2);
    metrics_seat_free(a);
    assert_int_equal(metrics_gauge(GAUGE_LANES_UP), 4);
    assert_false(metrics_ready());
    /* Where nobody logs in, deliveries are what it is there for. */
    metrics_logins(false);
    assert_false(metrics_ready());
    metric_set(GAUGE_LMTP_LANES_UP, 1);
    assert_true(metrics_ready());
    metrics_logins(true);
    assert_false(metrics_ready());
    metric_set(GAUGE_LMTP_LANES_UP, 0);
    assert_int_equal(metrics_seat_take(), a);
    assert_int_equal(metrics_gauge(GAUGE_LANES_UP), 4);
    metrics_seat_free(a);
    metrics_seat_free(b);
    metrics_seat_free(-1);
    metrics_sit(-1);
    metric_set(GAUGE_LANES_UP, 9);
    assert_int_equal(metrics_gauge(GAUGE_LANES_UP), 0);
}

static void test_seats_run_out(void **state)
{
    int n = 0, seat;

    (void)state;
    while ((seat = metrics_seat_take()) >= 0)
        n++;
    assert_true(n >= 1024);
    for (int i = 0; i < n; i++)
        metrics_seat_free(i);
    assert_int_equal(metrics_seat_take(), 0);
    metrics_seat_free(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_shared),
        cmocka_unit_test(test_a_dead_process_leaves_its_counts),
        cmocka_unit_test(test_the_longest),
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_gauges_end_with_their_worker),
        cmocka_unit_test(test_seats_run_out),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
