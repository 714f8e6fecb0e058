/*
 * Asking for maildrops that others hold, when there are very many of them: a
 * flood of logins, or of forged questions, does not become a flood of
 * notifications. What one login sees is in tests/dialogue and tests/system.
 */
#include "tests/unit/db_fixture.h"

#include "storage/maildrop/drop_impl.h"

/* SENT is the bound of a second, MAILDROPS more than there are places to remember of whom was asked. */
enum { MAILDROPS = 300, ORDERS = 1000, SENT = 100 };

static int64_t boxes[MAILDROPS];
static struct drop *drops[MAILDROPS];
static unsigned asked_softly, asked_by_order;

static bool at_work(void *owner, const char *by, bool ordered)
{
    (void)owner;
    assert_true(strlen(by) > 0);
    *(ordered ? &asked_by_order : &asked_softly) += 1;
    return false;
}

static void hold(struct store *store, int count)
{
    struct drop_holder holder = test_holder;

    holder.asked = at_work;
    asked_softly = asked_by_order = 0;
    admin_do("begin");
    for (int i = 0; i < count; i++)
        boxes[i] = mailbox_new();
    admin_do("commit");
    for (int i = 0; i < count; i++) {
        struct opened o = open_with(store, boxes[i], &holder);
        assert_string_equal(db_status_name(o.status), "ok");
        drops[i] = o.drop;
    }
}

static void finish_held(int count)
{
    for (int i = 0; i < count; i++) {
        assert_false(drop_lost(drops[i]));
        assert_string_equal(db_status_name(finish(drops[i], NULL)), "ok");
    }
}

/* Since then so many may have been sent, as each second of the clock has its own. */
static uint64_t allowed_since(uint64_t then)
{
    return SENT * (loop_now(loop) / 1000 - then / 1000 + 1);
}

static void refused(void *owner, enum db_status status, struct drop *drop)
{
    assert_string_equal(db_status_name(status), "locked");
    assert_null(drop);
    ++*(unsigned *)owner;
    loop_stop(loop);
}

/* A login waits for a moment only: the notification may come behind its answer. */
static void wait_asked(void)
{
    for (int i = 0; i < 2000 && asked_softly + asked_by_order == 0; i++)
        turn_for(5);
}

/* Each login is refused, whether somebody was asked or not; and after a while one may ask again. */
static void flood_of_logins(void **state)
{
    struct store *here = test_store(&test_settings), *there = test_store(&test_settings);
    struct drop_holder asks = test_holder;
    unsigned count = 0;

    (void)state;
    asks.asks = true;
    hold(there, MAILDROPS);
    wait_for_lanes(here, 2);
    uint64_t then = loop_now(loop);
    for (int i = 0; i < MAILDROPS; i++)
        open_for(here, boxes[i], &asks, refused, &count);
    while (count < MAILDROPS)
        wait_for_answer();
    wait_asked();
    assert_in_range(asked_softly, 1, allowed_since(then));
    turn_for(1100);
    asked_softly = 0;
    assert_string_equal(db_status_name(open_with(here, boxes[0], &asks).status), "locked");
    wait_asked();
    assert_true(asked_softly > 0);
    finish_held(MAILDROPS);
    store_free(&here);
    store_free(&there);
}

/* Orders too, each of which is a question to the database. Whoever is at work says so, and stays. */
static void flood_of_orders(void **state)
{
    struct store *store = test_store(&test_settings);

    (void)state;
    hold(store, 1);
    uint64_t then = loop_now(loop);
    admin_do("select pg_notify('postern_ask', format('order %lld postern_reply_%%s', lpad(to_hex(n), 16, '0')))"
             " from generate_series(1, %d) n", (long long)boxes[0], ORDERS);
    wait_asked();
    turn_for(100);
    assert_in_range(asked_by_order, 1, allowed_since(then));
    assert_int_equal(asked_softly, 0);
    finish_held(1);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flood_of_logins),
        cmocka_unit_test(flood_of_orders),
    };
    if (without_database("takeover"))
        return 0;
    return cmocka_run_group_tests_name("takeover", tests, database_setup, database_teardown);
}
