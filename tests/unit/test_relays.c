/*
 * test_relays.c - how many logins may wait for old servers, and for each of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/net/loop.h"
#include "daemon/pop3/pop3.h"
#include "daemon/pop3/relays.h"

enum { MOST = 80, QUARTER = MOST / 4 };

static char servers[] = "old.example:995";
static struct pop3_settings settings = {
    .pop3_relay_servers = servers, .pop3_relay_sessions = MOST, .pop3_relay_pause = 600000,
};
static struct loop *loop;
static struct relays *relays;

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    relays = relays_new(loop, &settings);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    relays_free(&relays);
    loop_free(&loop);
    return 0;
}

static enum relays_may ask(int64_t server)
{
    const struct elsewhere to = { .server = server, .host = SPAN_OF("OLD.example"), .port = 995 };
    struct host_port listed;

    return relays_ask(relays, &to, &listed);
}

static void enter(int64_t server, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ask(server), RELAYS_MAY);
        relays_enter(relays, server);
    }
}

/* One that hangs takes its part, and none of another one's. */
static void each_its_part(void **state)
{
    (void)state;
    enter(1, QUARTER);
    assert_int_equal(ask(1), RELAYS_FULL);
    enter(2, QUARTER - 1);
    relays_answered(relays, 1);
    assert_int_equal(ask(1), RELAYS_MAY);
    enter(1, 1);
    enter(2, 1);
    assert_int_equal(ask(3), RELAYS_FULL);
    /* Those that have been answered stay, up to all. */
    for (int i = 0; i < 2 * QUARTER; i++)
        relays_answered(relays, 1 + i % 2);
    relays_leave(relays);
    for (int64_t server = 3; server < 3 + 2 * QUARTER; server++) {
        enter(server, 1);
        relays_answered(relays, server);
    }
    assert_int_equal(ask(1), RELAYS_FULL);
    relays_leave(relays);
    assert_int_equal(ask(1), RELAYS_MAY);
}

/* There is no place for each of so many, and nothing is lost of those that have one. */
static void many_servers(void **state)
{
    const size_t sessions = (size_t)settings.pop3_relay_sessions;

    (void)state;
    settings.pop3_relay_sessions = 1000;
    for (int64_t server = 1; server <= 200; server++)
        enter(server, 1);
    for (int64_t server = 200; server >= 1; server--) {
        relays_answered(relays, server);
        relays_leave(relays);
    }
    enter(200, 250);
    assert_int_equal(ask(200), RELAYS_FULL);
    assert_int_equal(ask(1), RELAYS_MAY);
    settings.pop3_relay_sessions = (int64_t)sessions;
}

static void away(void **state)
{
    (void)state;
    assert_true(relays_note_away(relays, 1));
    assert_false(relays_note_away(relays, 1));
    assert_int_equal(ask(1), RELAYS_AWAY);
    assert_int_equal(ask(2), RELAYS_MAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_its_part, setup, teardown),
        cmocka_unit_test_setup_teardown(many_servers, setup, teardown),
        cmocka_unit_test_setup_teardown(away, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
