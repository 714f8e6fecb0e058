/* Who is turned away, who waits how long, and who still gets in: with a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/limit.h"
#include "daemon/base/secret.h"
#include "daemon/pop3/grid.h"
#include "daemon/pop3/guard.h"
#include "daemon/pop3/pop3.h"

enum { MINUTE = 60000, FAILURES = 8 };

static char exempt[] = "127.0.0.0/8 10.0.0.0/8";
static struct pop3_settings settings = {
    .pop3_failure_delay = 1000, .pop3_failure_delay_max = 15000, .pop3_limit_exempt = exempt, .pop3_limit_sessions = 3,
    .pop3_limit_connections = 600, .pop3_limit_failures = 16, .pop3_limit_ipv6_prefix = 64,
};
static struct limits *limits;
static struct guard *guard;
static uint64_t now = 1000000000;
static char network[NETWORK_TEXT_SIZE];
static struct auth_origin origin;

static int setup(void **state)
{
    (void)state;
    secret_init();
    limits = limits_new();
    guard = guard_new(limits, limit_area_take(limits->present), &settings, FAILURES, MINUTE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guard_free(&guard);
    limits_free(&limits);
    return 0;
}

/* A session that tries one password: the delay of its refusal, 0 if it was let in. -1: refused without asking. */
static int64_t try(const char *peer, const char *name, bool right)
{
    struct guard_seat seat;
    int64_t delay = 0;

    assert_null(guard_arrive(guard, &seat, peer, now));
    bool ask = guard_try(guard, &seat, peer, span_str(name), SPAN_OF("example.org"), now, network, &origin);
    if (ask && right && !origin.suspect)
        guard_right(guard, &seat, span_str(name), now);
    else
        delay = (int64_t)guard_wrong(guard, &seat, span_str(name), 0, now);
    guard_leave(guard, &seat);
    return ask ? delay : -1;
}

static void delay_grows(void **state)
{
    static const int64_t wanted[] = { 1000, 2000, 4000, 8000, 15000, 15000 };

    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_int_equal(try("192.0.2.1:1000", "anna", false), wanted[i]);
    /* In another spelling, from elsewhere, it is the same account; another one of that address is not hit so hard. */
    assert_int_equal(try("192.0.2.2:1", "ANNA@Example.Org", false), 15000);
    assert_int_equal(try("192.0.2.1:1001", "bert", false), 2000);
    assert_int_equal(try("192.0.2.3:1", "bert", false), 2000);
    assert_int_equal(try("192.0.2.3:1", "cora", false), 1000);
    /* A right one waits for nothing and counts as nothing. */
    for (int i = 0; i < 10; i++)
        assert_int_equal(try("192.0.2.4:1", "dora", true), 0);
    assert_int_equal(try("192.0.2.4:1", "dora", false), 1000);
    now += 3 * MINUTE;
    assert_int_equal(try("192.0.2.4:1", "dora", false), 1000);
}

static void exempt_ones(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(try("127.0.0.1:1", "anna", false), 1000);
        assert_int_equal(try("unix", "anna", false), 1000);
        assert_int_equal(origin.network.len, 0);
    }
    assert_int_equal(try("192.0.2.1:1", "anna", false), 1000);
    assert_true(span_is(origin.network, SPAN_OF("192.0.2.1")));
    assert_int_equal(try("[2001:db8::5:1]:1", "bert", false), 1000);
    assert_true(span_is(origin.network, SPAN_OF("2001:db8::/64")));
}

/* An address that has guessed too often is not asked for, but for those who were good there before. */
static void guessing_address(void **state)
{
    char name[32];

    (void)state;
    assert_int_equal(try("[2001:db8::1]:1", "owner", true), 0);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "victim%d", i);
        assert_true(try("[2001:db8::2]:1", name, false) > 0);
    }
    assert_int_equal(try("[2001:db8::3]:1", "victim", true), -1);
    assert_int_equal(try("[2001:db8:0:1::3]:1", "victim", true), 0);
    assert_int_equal(try("[2001:db8::4]:1", "owner", true), 0);
    assert_true(origin.good && !origin.suspect);
    /* But not for ever, where the owner's neighbour has taken to guessing at him. */
    for (int i = 0; i < 30; i++)
        try("[2001:db8::2]:1", "owner", false);
    assert_int_equal(try("[2001:db8::1]:1", "owner", true), -1);
    /* Where the name will be known to the helper only, it decides. */
    assert_true(try("[2001:db8::2]:1", "", true) > 0);
    assert_true(origin.suspect);
    now += 40 * MINUTE;
    assert_int_equal(try("[2001:db8::1]:1", "owner", true), 0);
    assert_int_equal(try("[2001:db8::3]:1", "victim", true), 0);
}

/* An account that many guess at. */
static void guessed_account(void **state)
{
    char peer[32];

    (void)state;
    assert_int_equal(try("192.0.2.1:1", "anna", true), 0);
    for (int i = 0; i < 30; i++) {
        snprintf(peer, sizeof peer, "198.51.100.%d:1", i);
        assert_true(try(peer, "anna", false) > 0);
        assert_int_equal(origin.suspect, i >= FAILURES);
    }
    assert_true(try("192.0.2.2:1", "anna", true) > 0);
    assert_true(origin.suspect);
    assert_int_equal(try("192.0.2.1:2", "anna", true), 0);
    now += 2 * FAILURES * MINUTE;
    assert_int_equal(try("192.0.2.2:1", "anna", true), 0);
}

/* All at once: each is counted before the first is answered. */
static void parallel(void **state)
{
    struct guard_seat seats[40];
    unsigned asked = 0;

    (void)state;
    settings.pop3_limit_sessions = 0;
    for (int i = 0; i < 40; i++) {
        assert_null(guard_arrive(guard, &seats[i], "192.0.2.1:1", now));
        asked += guard_try(guard, &seats[i], "192.0.2.1:1", SPAN_OF("anna"), SPAN_OF(""), now, network, &origin);
    }
    settings.pop3_limit_sessions = 3;
    assert_int_equal(asked, 16);
    for (int i = 0; i < 40; i++) {
        guard_unknown(guard, &seats[i], now);
        guard_leave(guard, &seats[i]);
    }
    assert_int_equal(try("192.0.2.1:1", "cora", false), 1000);
}

static void sessions(void **state)
{
    struct guard_seat seats[4], one;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_null(guard_arrive(guard, &seats[i], "192.0.2.1:1", now));
    assert_string_equal(guard_arrive(guard, &seats[3], "192.0.2.1:9", now), "sessions");
    guard_leave(guard, &seats[3]);
    assert_null(guard_arrive(guard, &one, "192.0.2.2:9", now));
    guard_leave(guard, &seats[0]);
    assert_null(guard_arrive(guard, &seats[3], "192.0.2.1:9", now));
    for (int i = 0; i < 595; i++)
        guard_arrive(guard, &seats[0], "192.0.2.1:1", now), guard_leave(guard, &seats[0]);
    assert_string_equal(guard_arrive(guard, &seats[0], "192.0.2.1:1", now), "connections");
    now += MINUTE;
    guard_leave(guard, &seats[1]);
    assert_null(guard_arrive(guard, &seats[0], "192.0.2.1:1", now));
}

static void sessions_of_a_tenant(void **state)
{
    struct guard_seat seats[5];
    struct auth_policy policy = { .domain = 1, .tenant = 1, .domain_sessions = 2, .tenant_sessions = 3 }, other = policy;

    (void)state;
    memset(seats, 0, sizeof seats);
    other.domain = 2;
    assert_true(guard_admit(guard, &seats[0], &policy) && guard_admit(guard, &seats[1], &policy));
    assert_false(guard_admit(guard, &seats[2], &policy));
    assert_true(guard_admit(guard, &seats[3], &other));
    assert_false(guard_admit(guard, &seats[4], &other));
    guard_leave(guard, &seats[4]);
    guard_leave(guard, &seats[0]);
    assert_true(guard_admit(guard, &seats[2], &policy));
    other.domain_sessions = other.tenant_sessions = AUTH_UNSET;
    for (int i = 0; i < 10; i++)
        assert_true(guard_admit(guard, &seats[4], &other));
}

/* --inetd: nothing is shared, nobody is counted here; the helper is told where they come from, and tells what it knows. */
static void alone(void **state)
{
    struct auth_policy policy = { .domain_sessions = 1, .tenant_sessions = 1 };
    struct guard *g = guard_new(NULL, -1, &settings, FAILURES, MINUTE);
    struct guard_seat seat;

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_null(guard_arrive(g, &seat, "192.0.2.1:1", now));
        assert_true(guard_try(g, &seat, "192.0.2.1:1", SPAN_OF("anna"), SPAN_OF(""), now, network, &origin));
        assert_int_equal(guard_wrong(g, &seat, SPAN_OF("anna"), 0, now), 1000);
        assert_true(span_is(origin.network, SPAN_OF("192.0.2.1")));
        assert_int_equal(guard_wrong(g, &seat, SPAN_OF("anna"), 2, now), 4000);
        guard_right(g, &seat, SPAN_OF("anna"), now);
        assert_true(guard_admit(g, &seat, &policy));
        guard_leave(g, &seat);
    }
    guard_free(&g);
}

/* A10: at the first moment of the grid that is not past, whatever it took. */
static void grid(void **state)
{
    (void)state;
    for (uint64_t took = 0; took <= 20; took++)
        assert_int_equal(grid_next(1000, 20, 20, 1000 + took), 1020);
    assert_int_equal(grid_next(1000, 20, 20, 1021), 1040);
    assert_int_equal(grid_next(1000, 20, 20, 1040), 1040);
    /* After a delay that is no multiple of the quantum. */
    assert_int_equal(grid_next(5, 15000, 1000, 5), 15005);
    assert_int_equal(grid_next(5, 15000, 1000, 15006), 16005);
    assert_int_equal(grid_next(5, 15000, 1000, 99999), 100005);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(delay_grows), TEST(exempt_ones), TEST(guessing_address), TEST(guessed_account), TEST(parallel),
        TEST(sessions), TEST(sessions_of_a_tenant), TEST(alone), cmocka_unit_test(grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
