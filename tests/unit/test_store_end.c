/*
 * The end of a store while all kinds of things are under way: nobody is told
 * of anything afterwards, no lock stays behind, and what was retrieved is in
 * the history. (The end of a worker; what is in the middle of a session is in
 * test_drop_lost.c.)
 */
#include "tests/unit/db_fixture.h"

#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/history.h"
#include "storage/maildrop/reclaim.h"
#include "storage/maildrop/takeover.h"

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

static struct store *one_lane(void)
{
    struct storage_settings s = test_settings;
    s.database_lanes = 1;
    struct store *store = test_store(&s);
    wait_for_lanes(store, 1);
    return store;
}

static int64_t noted(int64_t mailbox)
{
    return admin_number("select coalesce(sum(messages), 0) from postern.history where mailbox = %lld and what = 'session'",
                        (long long)mailbox);
}

static int64_t holders(int64_t mailbox)
{
    return admin_number("select count(*) from postern.held_maildrops() where mailbox = %lld", (long long)mailbox);
}

/* As soon as the database has noticed that the connections are gone. */
static void expect_free(int64_t mailbox)
{
    for (int i = 0; i < 2000 && holders(mailbox) > 0; i++)
        turn_for(5);
    assert_int_equal(holders(mailbox), 0);
}

/*
 * A session that has retrieved something and ends now. It is what a store waits
 * for at its end; whatever was asked before on the same lane is answered
 * meanwhile. Nobody wants to know how it ended.
 */
static void end_of_a_session(struct drop *drop)
{
    drop_note_retrieved(drop, 0);
    drop_note_sent(drop);
    drop_finish(&drop, NULL, NULL, NULL);
}

static struct drop *session(struct store *store)
{
    int64_t mailbox = mailbox_new();
    messages_add(mailbox, 1, 10);
    return must_open(store, mailbox);
}

static void stop_waiting(void *owner)
{
    ((struct opened *)owner)->answered = true;
}

/* Before the first attempt to connect came to an end. */
static void before_there_is_a_lane(void **state)
{
    struct store *store = test_store(&test_settings);
    struct opened o = { 0 };
    uint32_t pid;
    struct login_lane *lane = login_lane_new(store, stop_waiting, &o);

    (void)state;
    assert_false(login_lane_pid(lane, &pid));
    login_lane_free(&lane);
    assert_null(lane);
    store_free(&store);
    assert_null(store);
    store_free(&store);
    turn_for(20);
    assert_false(o.answered);
}

/* A maildrop that is opened meanwhile: its asker is not called any more, and the lock is given back. */
static void while_opening(void **state)
{
    struct store *store = one_lane(), *other = one_lane();
    int64_t opening = mailbox_new(), locked = mailbox_new(), gone = INT64_C(281474976710655);
    struct drop_holder asks = test_holder;
    struct opened o[3] = { { 0 } };
    struct drop *drop = session(store), *elsewhere = must_open(other, locked);

    (void)state;
    asks.asks = true;
    open_for(store, opening, &test_holder, opened, &o[0]);
    open_for(store, locked, &asks, opened, &o[1]);
    open_for(store, gone, &test_holder, opened, &o[2]);
    int64_t mailbox = drop->place.mailbox.number;
    end_of_a_session(drop);
    store_free(&store);
    assert_int_equal(noted(mailbox), 1);
    for (size_t i = 0; i < 3; i++)
        assert_false(o[i].answered);
    expect_free(opening);
    expect_free(mailbox);
    assert_int_equal(holders(locked), 1);
    expect_status(finish(elsewhere, NULL), DB_OK);
    expect_status(finish(must_open(other, opening), NULL), DB_OK);
    store_free(&other);
}

/* A large deletion is committed, and its content is left to others: nothing is begun any more. */
static void while_deleting(void **state)
{
    static const unsigned char marks[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

    (void)state;
    for (int reclaiming = 0; reclaiming < 2; reclaiming++) {
        struct store *store = one_lane();
        int64_t mailbox = mailbox_new();
        messages_add(mailbox, 10, 1000000);
        struct drop *drop = session(store), *large = must_open(store, mailbox);
        int64_t retrieved = drop->place.mailbox.number;

        if (reclaiming) {
            expect_status(finish(large, marks), DB_OK);
            assert_true(store->reclaim->busy);
            reclaim_next(store->reclaim);        /* its timer is due */
        } else {
            drop_finish(&large, marks, NULL, NULL);
        }
        end_of_a_session(drop);
        store_free(&store);
        assert_int_equal(noted(retrieved), 1);
        assert_int_equal(messages_in(mailbox), 0);
        assert_true(admin_number("select count(*) from postern.deleted where mailbox = %lld", (long long)mailbox) > 0);
        expect_free(mailbox);
        admin_do("select postern.reclaim(1 << 30)");
    }
}

static bool asked;

static bool was_asked(void *owner, const char *by, bool ordered)
{
    (void)owner;
    (void)by;
    (void)ordered;
    asked = true;
    return false;
}

/* An operator's order that is looked into meanwhile: the session, whose owner may be gone, does not hear of it. */
static void while_ordered(void **state)
{
    struct store *store = one_lane();
    struct drop_holder holder = test_holder;
    struct drop *drop = session(store);
    int64_t mailbox = mailbox_new(), retrieved = drop->place.mailbox.number;

    (void)state;
    holder.asked = was_asked;
    struct opened o = open_with(store, mailbox, &holder);
    takeover_ordered(store, BOX(mailbox), "postern_reply_0123456789abcdef", PQbackendPID(admin));
    end_of_a_session(drop);
    drop_finish(&o.drop, NULL, NULL, NULL);
    store_free(&store);
    assert_int_equal(noted(retrieved), 1);
    assert_false(asked);
    expect_free(mailbox);
}

/* Where the database is away at the end, the history is not waited for. */
static void while_the_database_is_away(void **state)
{
    struct store *store = one_lane();
    struct drop *drop = session(store);
    int64_t mailbox = drop->place.mailbox.number;

    (void)state;
    pg_break(drop->lane, "a test");
    end_of_a_session(drop);
    assert_int_equal(store->history->sessions, 1);
    store_free(&store);
    assert_int_equal(noted(mailbox), 0);
    expect_free(mailbox);
}

/* ---- much of it, in the middle of a store's life */

enum { MANY = 8192, TOO_MANY = 16 * MANY };

static int64_t large_mailbox(int messages)
{
    int64_t mailbox = mailbox_new();

    message_add(mailbox, "abc\r\n", 5, NULL, NULL);
    admin_do("insert into postern.message (mailbox, uid, content, octets) select mailbox, n, content, octets"
             " from postern.message, generate_series(2, %d) n where mailbox = %lld", messages, (long long)mailbox);
    admin_do("update postern.mailbox set next_uid = %d, messages = %d, octets = 5 * %d where mailbox = %lld",
             messages + 1, messages, messages, (long long)mailbox);
    return mailbox;
}

static void retrieve_all(struct drop *drop)
{
    for (size_t i = 0, count = drop_count(drop); i < count; i++)
        drop_note_retrieved(drop, i);
    drop_note_sent(drop);
}

/* A session that has retrieved thousands is written at once, before the next ones make it more. */
static void many_messages(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = large_mailbox(MANY);
    struct drop *drop = must_open(store, mailbox);

    (void)state;
    retrieve_all(drop);
    drop_finish(&drop, NULL, NULL, NULL);
    assert_int_equal(store->history->sessions, 0);
    assert_int_equal(store->history->under_way, 1);
    store_free(&store);
    assert_int_equal(noted(mailbox), MANY);
}

/* While the database is away what is kept for the history has a bound; the store goes on when it is back. */
static void too_many_messages(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = large_mailbox(TOO_MANY);
    struct drop *drop = must_open(store, mailbox), *small = session(store), *next = session(store);
    int64_t lost = small->place.mailbox.number;

    (void)state;
    retrieve_all(drop);
    pg_break(drop->lane, "a test");
    end_of_a_session(small);
    assert_int_equal(store->history->sessions, 1);
    drop_finish(&drop, NULL, NULL, NULL);
    assert_int_equal(store->history->sessions, 0);
    assert_int_equal(store->history->under_way, 0);
    int64_t kept = next->place.mailbox.number;
    end_of_a_session(next);
    assert_int_equal(store->history->sessions, 1);
    wait_for_lanes(store, 1);
    for (int i = 0; i < 2000 && noted(kept) == 0; i++)
        turn_for(5);
    assert_int_equal(noted(kept), 1);
    assert_int_equal(noted(mailbox), 0);
    assert_int_equal(noted(lost), 0);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_there_is_a_lane),
        cmocka_unit_test(while_opening),
        cmocka_unit_test(while_deleting),
        cmocka_unit_test(while_ordered),
        cmocka_unit_test(while_the_database_is_away),
        cmocka_unit_test(many_messages),
        cmocka_unit_test(too_many_messages),
    };
    if (without_database("store_end"))
        return 0;
    return cmocka_run_group_tests_name("store_end", tests, database_setup, database_teardown);
}
