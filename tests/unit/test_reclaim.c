/*
 * The content of a large deletion, removed behind its QUIT, by the store itself.
 */
#include "tests/unit/db_fixture.h"

#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/reclaim.h"

static int64_t left(int64_t mailbox)
{
    return admin_number("select count(*) from postern.deleted where mailbox = %lld", (long long)mailbox);
}

static int64_t contents(void)
{
    return admin_number("select (select count(*) from postern.content) + (select count(*) from postern.content_part)");
}

static void delete_all(struct store *store, int64_t mailbox)
{
    static const unsigned char marks[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

    assert_int_equal(finish(must_open(store, mailbox), marks), DB_OK);
    assert_int_equal(messages_in(mailbox), 0);
}

static void small_ones_go_at_once(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new(), before = contents();

    (void)state;
    messages_add(mailbox, 10, 20000);
    delete_all(store, mailbox);
    assert_int_equal(left(mailbox), 0);
    assert_int_equal(contents(), before);
    store_free(&store);
}

static void large_ones_go_in_batches(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new(), before = contents();

    (void)state;
    messages_add(mailbox, 10, 1000000);
    unsigned long long statements = store_statements(store);
    delete_all(store, mailbox);
    assert_int_equal(left(mailbox), 10);
    for (int i = 0; i < 1000 && left(mailbox) > 0; i++)
        turn_for(10);
    assert_int_equal(left(mailbox), 0);
    assert_int_equal(contents(), before);
    /* Open, expunge, close; then three messages in each batch, and none behind the last. */
    turn_for(100);
    assert_int_equal(store_statements(store) - statements, 3 + 4);
    store_free(&store);
}

/* A store that ends leaves the rest to others. */
static void store_ends_meanwhile(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 10, 1000000);
    delete_all(store, mailbox);
    store_free(&store);
    assert_true(left(mailbox) > 0);
    admin_do("select postern.reclaim(1 << 30)");
    assert_int_equal(left(mailbox), 0);
}

static void wait_reclaimed(int64_t mailbox)
{
    for (int i = 0; i < 1000 && left(mailbox) > 0; i++)
        turn_for(10);
    assert_int_equal(left(mailbox), 0);
}

static void wait_gives_up(const struct store *store)
{
    for (int i = 0; i < 1000 && store->reclaim->busy; i++)
        turn_for(10);
    assert_false(store->reclaim->busy);
}

/* What cannot be removed now is left to the next large deletion. */
static void error_of_the_database(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t first = mailbox_new(), second = mailbox_new();

    (void)state;
    messages_add(first, 10, 1000000);
    messages_add(second, 10, 1000000);
    admin_do("revoke execute on function postern.reclaim(bigint) from postern_mail");
    delete_all(store, first);
    wait_gives_up(store);
    assert_int_equal(left(first), 10);
    admin_do("grant execute on function postern.reclaim(bigint) to postern_mail");
    delete_all(store, second);
    wait_reclaimed(first);
    wait_reclaimed(second);
    store_free(&store);
}

/* The same where no lane is there. */
static void lanes_are_away(void **state)
{
    struct storage_settings one_lane = test_settings;
    one_lane.database_lanes = 1;
    struct store *store = test_store(&one_lane);
    int64_t first = mailbox_new(), second = mailbox_new();

    (void)state;
    messages_add(first, 10, 1000000);
    messages_add(second, 10, 1000000);
    wait_for_lanes(store, 1);
    delete_all(store, first);
    assert_true(store->reclaim->busy);
    pg_break(pg_listener(store->pg), "a test");
    wait_gives_up(store);
    assert_true(left(first) > 0);
    wait_for_lanes(store, 1);
    delete_all(store, second);
    wait_reclaimed(first);
    wait_reclaimed(second);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_ones_go_at_once),
        cmocka_unit_test(large_ones_go_in_batches),
        cmocka_unit_test(store_ends_meanwhile),
        cmocka_unit_test(error_of_the_database),
        cmocka_unit_test(lanes_are_away),
    };
    if (without_database("reclaim"))
        return 0;
    return cmocka_run_group_tests_name("reclaim", tests, database_setup, database_teardown);
}
