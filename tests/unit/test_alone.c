/*
 * Deletions of many messages on a lane of their own (P2): others go on
 * meanwhile, and whatever is lost at whatever moment, all of the messages are
 * gone or none, and nobody is told of a deletion that was not.
 */
#include "tests/unit/db_fixture.h"

#include "storage/maildrop/alone.h"
#include "storage/maildrop/drop_impl.h"

enum { MESSAGES = 4 };
static const unsigned char all[MESSAGES] = { 1, 1, 1, 1 };

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

/* One lane for everybody, on which a statement may take a second. */
static struct store *one_lane(void)
{
    struct storage_settings s = test_settings;
    s.database_lanes = 1;
    s.database_statement_timeout = 1000;
    struct store *store = test_store(&s);
    wait_for_lanes(store, 1);
    store->alone->many = 2;
    store->alone->again = 10;
    return store;
}

static int64_t mailbox_with_mail(void)
{
    int64_t mailbox = mailbox_new();
    messages_add(mailbox, MESSAGES, 10);
    return mailbox;
}

static int64_t connections(void)
{
    return admin_number("select count(*) from pg_stat_activity where datname = current_database() and usename = 'postern_mail'");
}

static int64_t locks(int64_t mailbox)
{
    return admin_number("select count(*) from postern.held_maildrops() where mailbox = %lld", (long long)mailbox);
}

static int64_t waiting_for_rows(void)
{
    return admin_number("select count(*) from pg_locks where not granted and transactionid = pg_current_xact_id()::xid");
}

#define TURN_UNTIL(condition) \
    do { \
        bool is_ = (condition); /* asked once: a connection that was given up may still be on its way in */ \
        for (int turns_ = 0; turns_ < 10000 && !is_; turns_++) { \
            turn_for(1); \
            is_ = (condition); \
        } \
        assert_true(is_); \
    } while (0)

/* Whoever deletes from this mailbox waits until the admin's transaction is over. */
static void hold_rows(int64_t mailbox)
{
    admin_do("begin");
    admin_do("select from postern.mailbox where mailbox = %lld for update", (long long)mailbox);
}

static void others_go_on(void **state)
{
    struct store *store = one_lane();
    int64_t large = mailbox_with_mail(), small = mailbox_with_mail();
    struct drop *drop = must_open(store, large), *other = must_open(store, small);
    int64_t before = connections();
    struct finished f = { 0 };
    struct buf out = BUF_EMPTY;

    (void)state;
    hold_rows(large);
    drop_finish(&drop, all, finished, &f);
    TURN_UNTIL(waiting_for_rows() > 0);
    /* The lane that both were on serves the other one, and the next; one mark is no reason for another lane. */
    expect_status(read_message(other, 1, &out), DB_OK);
    expect_status(finish(other, (const unsigned char[MESSAGES]){ 1 }), DB_OK);
    expect_status(finish(must_open(store, small), NULL), DB_OK);
    assert_int_equal(messages_in(small), MESSAGES - 1);
    assert_int_equal(connections(), before + 1);
    assert_int_equal(locks(large), 1);
    expect_status(open_drop(store, large).status, DB_LOCKED);
    /* Longer than a statement may take elsewhere. */
    turn_for(1300);
    assert_false(f.answered);
    admin_do("commit");
    TURN_UNTIL(f.answered);
    expect_status(f.status, DB_OK);
    assert_int_equal(messages_in(large), 0);
    assert_int_equal(locks(large), 0);
    TURN_UNTIL(connections() == before);
    /* And once more. */
    messages_add(large, MESSAGES, 10);
    expect_status(finish(must_open(store, large), all), DB_OK);
    assert_int_equal(messages_in(large), 0);
    buf_free(&out);
    store_free(&store);
}

/* One after the other, and who has least to delete comes first. */
static void least_first(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox[4];
    struct drop *drop[4];
    struct finished f[4] = { { 0 } };
    static const size_t marks[4] = { 4, 4, 2, 3 };

    (void)state;
    for (int i = 0; i < 4; i++) {
        mailbox[i] = mailbox_with_mail();
        drop[i] = must_open(store, mailbox[i]);
    }
    hold_rows(mailbox[2]);
    for (int i = 0; i < 4; i++) {
        unsigned char some[MESSAGES] = { 0 };
        memset(some, 1, marks[i]);
        drop_finish(&drop[i], some, finished, &f[i]);
    }
    TURN_UNTIL(waiting_for_rows() > 0);
    turn_for(50);
    for (int i = 0; i < 4; i++)
        assert_false(f[i].answered);
    assert_int_equal(connections(), 2);
    admin_do("commit");
    for (int i = 0; i < 4; i++)
        TURN_UNTIL(f[i].answered);
    for (int i = 0; i < 4; i++) {
        expect_status(f[i].status, DB_OK);
        assert_int_equal(messages_in(mailbox[i]), MESSAGES - (int64_t)marks[i]);
        assert_int_equal(locks(mailbox[i]), 0);
    }
    assert_int_equal(admin_number("select count(*) from (select array_agg(mailbox order by at, session) as o from (select distinct on (mailbox) *"
                                  " from postern.history where what = 'deletion' and mailbox in (%lld, %lld, %lld, %lld) order by mailbox, at) h)"
                                  " s where o = '{%lld,%lld,%lld,%lld}'",
                                  (long long)mailbox[0], (long long)mailbox[1], (long long)mailbox[2], (long long)mailbox[3],
                                  (long long)mailbox[2], (long long)mailbox[3], (long long)mailbox[0], (long long)mailbox[1]), 1);
    store_free(&store);
}

static void limit_connections(const char *to)
{
    admin_do("do $$ begin execute format('alter database %%I connection limit %%s', current_database(), %s); end $$", to);
}

/* A session that retrieved very many and deletes none: noted there, where it holds up nobody. */
static void many_retrieved(void **state)
{
    enum { MANY = 8193 };
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new(), other = mailbox_new();

    (void)state;
    message_add(mailbox, "abc\r\n", 5, NULL, NULL);
    admin_do("insert into postern.message (mailbox, uid, content, octets) select mailbox, n, content, octets"
             " from postern.message, generate_series(2, %d) n where mailbox = %lld", MANY, (long long)mailbox);
    admin_do("update postern.mailbox set next_uid = %d, messages = %d, octets = 5 * %d where mailbox = %lld",
             MANY + 1, MANY, MANY, (long long)mailbox);
    admin_do("insert into postern.policy (mailbox, expire_retrieved) values (%lld, 3)", (long long)mailbox);
    struct drop *drop = must_open(store, mailbox);
    struct finished f = { 0 };
    struct pg_ref before = drop->lane;
    for (size_t i = 0; i < MANY; i++)
        drop_note_retrieved(drop, i);
    drop_note_sent(drop);
    hold_rows(mailbox);
    drop_finish(&drop, NULL, finished, &f);
    TURN_UNTIL(waiting_for_rows() > 0);
    assert_true(pg_alive(before));
    expect_status(finish(must_open(store, other), NULL), DB_OK);
    assert_false(f.answered);
    admin_do("commit");
    TURN_UNTIL(f.answered);
    expect_status(f.status, DB_OK);
    assert_int_equal(admin_number("select count(retrieved_at) from postern.message where mailbox = %lld", (long long)mailbox), MANY);
    assert_int_equal(admin_number("select messages from postern.history where mailbox = %lld and what = 'session'", (long long)mailbox), MANY);
    assert_int_equal(locks(mailbox), 0);
    admin_do("delete from postern.policy where mailbox = %lld", (long long)mailbox);
    store_free(&store);
}

/* No connection more is let in: refused, for certain, and the others do not notice. */
static void no_lane_for_it(void **state)
{
    struct store *store = one_lane();
    int64_t large = mailbox_with_mail(), small = mailbox_with_mail();
    struct drop *drop = must_open(store, large), *other = must_open(store, small);

    (void)state;
    limit_connections("(select count(*) from pg_stat_activity where datname = current_database())");
    expect_status(finish(drop, all), DB_RETRY);
    assert_int_equal(messages_in(large), MESSAGES);
    assert_int_equal(locks(large), 0);
    expect_status(finish(other, NULL), DB_OK);
    limit_connections("-1");
    expect_status(finish(must_open(store, large), all), DB_OK);
    assert_int_equal(messages_in(large), 0);
    store_free(&store);
}

static void end_backends(const char *which)
{
    admin_number("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()"
                 " and usename = 'postern_mail' and %s", which);
}

/* The lane of the session goes while it waits for the other one: nothing was asked, so nothing was deleted. */
static void lost_before(void **state)
{
    struct store *store = one_lane();
    int64_t first = mailbox_with_mail(), second = mailbox_with_mail();
    struct drop *one = must_open(store, first), *two = must_open(store, second);
    struct finished f[2] = { { 0 } };

    (void)state;
    hold_rows(first);
    drop_finish(&one, all, finished, &f[0]);
    TURN_UNTIL(waiting_for_rows() > 0);
    drop_finish(&two, all, finished, &f[1]);
    end_backends("pid not in (select pid from pg_locks where not granted)");
    turn_for(100);
    admin_do("commit");
    TURN_UNTIL(f[0].answered && f[1].answered);
    expect_status(f[0].status, DB_OK);      /* its lock is on the other one */
    assert_int_equal(messages_in(first), 0);
    expect_status(f[1].status, DB_RETRY);
    assert_int_equal(messages_in(second), MESSAGES);
    store_free(&store);
}

/* The lane for it goes in the midst of the deletion. */
static void lost_meanwhile(void **state)
{
    struct store *store = one_lane();
    int64_t first = mailbox_with_mail(), second = mailbox_with_mail();
    struct drop *one = must_open(store, first), *two = must_open(store, second);
    struct finished f[2] = { { 0 } };

    (void)state;
    hold_rows(first);
    drop_finish(&one, all, finished, &f[0]);
    TURN_UNTIL(waiting_for_rows() > 0);
    drop_finish(&two, all, finished, &f[1]);
    end_backends("pid in (select pid from pg_locks where not granted)");
    TURN_UNTIL(f[0].answered);
    admin_do("commit");
    expect_status(f[0].status, DB_LOST);
    assert_int_equal(messages_in(first), MESSAGES);
    /* The next one has another. */
    TURN_UNTIL(f[1].answered);
    expect_status(f[1].status, DB_OK);
    assert_int_equal(messages_in(second), 0);
    expect_status(finish(must_open(store, first), NULL), DB_OK);
    store_free(&store);
}

/* The store goes at any moment: all or nothing, nobody is told, and no lock stays. */
static void freed_in_between(void **state)
{
    (void)state;
    for (unsigned after = 0; after < 40; after += 2) {
        struct store *store = one_lane();
        int64_t mailbox[3];
        struct finished f[3] = { { 0 } };

        for (int i = 0; i < 3; i++) {
            mailbox[i] = mailbox_with_mail();
            struct drop *drop = must_open(store, mailbox[i]);
            drop_finish(&drop, all, finished, &f[i]);
        }
        turn_for(after);
        bool told[3] = { f[0].answered, f[1].answered, f[2].answered };
        store_free(&store);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(f[i].answered, told[i]);
            TURN_UNTIL(locks(mailbox[i]) == 0);
            assert_true(messages_in(mailbox[i]) == 0 || (!told[i] && messages_in(mailbox[i]) == MESSAGES));
        }
        TURN_UNTIL(connections() == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_go_on),
        cmocka_unit_test(least_first),
        cmocka_unit_test(many_retrieved),
        cmocka_unit_test(no_lane_for_it),
        cmocka_unit_test(lost_before),
        cmocka_unit_test(lost_meanwhile),
        cmocka_unit_test(freed_in_between),
    };
    if (without_database("alone"))
        return 0;
    return cmocka_run_group_tests_name("alone", tests, database_setup, database_teardown);
}
