/*
 * The loss of a lane, in every state of a maildrop: its session is fenced for
 * ever, nothing is deleted, everybody else goes on (P2, P3, L10).
 */
#include "tests/unit/db_fixture.h"

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

/* The backend that holds this maildrop. */
static void kill_holder(int64_t mailbox)
{
    int64_t pid = admin_number("select pid from postern.held_maildrops() where mailbox = %lld", (long long)mailbox);
    admin_number("select pg_terminate_backend(%lld)::int", (long long)pid);
}

/* Once somebody waits in the database for a lock on a table or a row. */
static void wait_until_blocked(void)
{
    for (int i = 0; i < 2000; i++) {
        turn_for(2);
        if (admin_number("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = 'postern_mail'"
                         " and pg_backend_pid() = any (pg_blocking_pids(pid))") > 0)
            return;
    }
    fail_msg("nobody waits");
}

static struct store *one_lane(void)
{
    struct storage_settings s = test_settings;
    s.database_lanes = 1;
    struct store *store = test_store(&s);
    wait_for_lanes(store, 1);
    return store;
}

static void lost_while_idle(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new(), neighbour = mailbox_new();
    struct buf out = BUF_EMPTY;

    (void)state;
    messages_add(mailbox, 5, 10);
    messages_add(neighbour, 1, 10);
    wait_for_lanes(store, 2);
    struct drop *d = must_open(store, mailbox), *next = must_open(store, neighbour);    /* one on each lane */
    expect_status(read_message(d, 0, &out), DB_OK);
    expect_status(read_message(d, 1, &out), DB_OK);     /* 2, 3 and 4 are at hand now */
    kill_holder(mailbox);
    for (int i = 0; i < 1000 && !drop_lost(d); i++)
        turn_for(2);
    assert_true(drop_lost(d));
    assert_false(drop_lost(next));
    /* The snapshot stays for STAT and LIST; nothing else is told, not even what is at hand. */
    assert_int_equal(drop_count(d), 5);
    expect_status(read_piece(d, 2, 0).status, DB_LOST);

    /* Somebody else opens it, here, while the old session is still there; that one must not disturb him at its end. */
    struct drop *second = must_open(store, mailbox);
    wait_for_lanes(store, 2);
    assert_true(drop_lost(d));
    expect_status(read_piece(d, 0, 0).status, DB_LOST);
    expect_status(finish(d, (const unsigned char[]){ 1, 1, 1, 1, 1 }), DB_LOST);
    assert_int_equal(messages_in(mailbox), 5);
    assert_int_equal(store_held(store), 2);
    expect_status(open_drop(store, mailbox).status, DB_LOCKED);
    expect_status(finish(second, (const unsigned char[]){ 0, 1, 0, 0, 0 }), DB_OK);
    assert_int_equal(messages_in(mailbox), 4);
    expect_status(finish(next, (const unsigned char[]){ 1 }), DB_OK);
    assert_int_equal(messages_in(neighbour), 0);
    buf_free(&out);
    store_free(&store);
}

static void lost_while_opening(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new();
    struct opened o = { 0 };

    (void)state;
    messages_add(mailbox, 1, 10);
    admin_do("begin; lock table postern.message in access exclusive mode");
    open_for(store, mailbox, &test_holder, opened, &o);
    wait_until_blocked();
    kill_holder(mailbox);
    while (!o.answered)
        wait_for_answer();
    admin_do("commit");
    expect_status(o.status, DB_RETRY);
    wait_for_lanes(store, 1);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

static void lost_while_reading(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new();
    struct got g = { 0 };

    (void)state;
    messages_add(mailbox, 2, 600000);
    struct drop *d = must_open(store, mailbox);
    struct got first = read_piece(d, 0, 0);
    expect_status(first.status, DB_OK);
    piece_release(first.piece.ref);
    admin_do("begin; lock table postern.content_part in access exclusive mode");
    assert_int_equal(drop_read(d, 0, 1, WANT_WHOLE, &g.piece, got_piece, &g), 0);
    wait_until_blocked();
    kill_holder(mailbox);
    while (!g.answered)
        wait_for_answer();
    admin_do("commit");
    expect_status(g.status, DB_LOST);
    wait_for_lanes(store, 1);
    expect_status(read_piece(d, 1, 0).status, DB_LOST);
    expect_status(finish(d, NULL), DB_LOST);
    store_free(&store);
}

/* Q02: the commit is under way, and nobody can know; here it did not happen. */
static void lost_while_committing(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new();
    struct finished f = { 0 };

    (void)state;
    messages_add(mailbox, 3, 10);
    struct drop *d = must_open(store, mailbox);
    admin_do("begin; select 1 from postern.mailbox where mailbox = %lld for update", (long long)mailbox);
    drop_finish(&d, (const unsigned char[]){ 1, 1, 1 }, finished, &f);
    wait_until_blocked();
    kill_holder(mailbox);
    while (!f.answered)
        wait_for_answer();
    admin_do("commit");
    expect_status(f.status, DB_LOST);
    assert_int_equal(messages_in(mailbox), 3);
    wait_for_lanes(store, 1);
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 3);
    expect_status(finish(d, (const unsigned char[]){ 1, 1, 1 }), DB_OK);
    assert_int_equal(messages_in(mailbox), 0);
    store_free(&store);
}

/* The lane goes, and the loop has not seen it yet: what is asked now is answered later, in order. */
static void lost_and_not_noticed_yet(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 3, 10);
    struct drop *d = must_open(store, mailbox);
    kill_holder(mailbox);
    usleep(100000);
    expect_status(finish(d, (const unsigned char[]){ 1, 1, 1 }), DB_LOST);
    assert_int_equal(messages_in(mailbox), 3);
    wait_for_lanes(store, 1);
    d = must_open(store, mailbox);
    kill_holder(mailbox);
    usleep(100000);
    expect_status(read_piece(d, 0, 0).status, DB_LOST);
    expect_status(finish(d, NULL), DB_LOST);
    store_free(&store);
}

/* While no lane is up a login is told so at once; the lane that is back serves the next. */
static void away_and_back(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new();

    (void)state;
    struct drop *d = must_open(store, mailbox);
    kill_holder(mailbox);
    for (int i = 0; i < 1000 && store_lanes_up(store) > 0; i++)
        turn_for(1);
    expect_status(open_drop(store, mailbox).status, DB_RETRY);
    expect_status(finish(d, NULL), DB_LOST);
    wait_for_lanes(store, 1);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

/*
 * The fence is the database's too: a session whose lock another connection has
 * got is unable to delete. As with a pooler that gives statements to any
 * connection; here the lane itself is made to let go of the lock.
 */
static void lock_taken_away(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new(), accomplice = mailbox_new();

    (void)state;
    messages_add(mailbox, 1, 10);
    messages_add(accomplice, 1, 10);
    struct drop *d = must_open(store, mailbox), *other = must_open(store, accomplice);
    admin_do("create function public.let_go() returns trigger language plpgsql security definer as"
             " $$ begin perform pg_advisory_unlock(k), pg_advisory_unlock(k) from postern.lock_key(%lld) k; return null; end $$;"
             " create trigger let_go after update on postern.mailbox for each row when (new.mailbox = %lld)"
             " execute function public.let_go()", (long long)mailbox, (long long)accomplice);
    expect_status(finish(other, (const unsigned char[]){ 1 }), DB_OK);
    admin_do("drop trigger let_go on postern.mailbox; drop function public.let_go()");
    assert_int_equal(admin_number("select pg_try_advisory_lock(postern.lock_key(%lld))::int", (long long)mailbox), 1);
    expect_status(finish(d, (const unsigned char[]){ 1 }), DB_LOST);
    assert_int_equal(messages_in(mailbox), 1);
    assert_int_equal(admin_number("select pg_advisory_unlock(postern.lock_key(%lld))::int", (long long)mailbox), 1);
    assert_int_equal(store_lanes_up(store), 1);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

/* A login whose lane went while it was verified: the ticket opens nothing on another lane, and who can, asks for another one. */
static void lost_before_opening(void **state)
{
    struct storage_settings two = test_settings;
    struct drop_holder cached = test_holder;
    int64_t mailbox = mailbox_new();
    uint32_t pid, now;

    (void)state;
    struct store *store = test_store(&two);
    wait_for_lanes(store, 2);
    cached.versions = (struct mailbox_versions){
        admin_number("select proof from postern.mailbox where mailbox = %lld", (long long)mailbox),
        admin_number("select version from postern.policy_version"),
    };
    for (int i = 0; i < 2; i++) {
        struct login_lane *lane = login_lane_new(store, NULL, NULL);
        struct drop_holder holder = i == 0 ? cached : test_holder;
        struct opened o = { 0 };

        assert_true(login_lane_pid(lane, &pid) && pid > 0);
        holder.ticket = ticket_for(mailbox, &holder.versions, pid);
        admin_number("select pg_terminate_backend(%ld, 5000)::int", (long)pid);
        do {
            turn_for(5);
            assert_true(login_lane_pid(lane, &now));
        } while (now != 0);
        wait_for_lanes(store, 2);
        drop_open(store, &lane, BOX(mailbox), &holder, opened, &o);
        assert_null(lane);
        while (!o.answered)
            wait_for_answer();
        expect_status(o.status, i == 0 ? DB_UNCONFIRMED : DB_RETRY);
    }
    expect_status(finish(open_with(store, mailbox, &cached).drop, NULL), DB_OK);
    store_free(&store);
}

/* For another lane, mailbox or proof, or of no key: nothing is opened, and no lock stays. */
static void no_valid_ticket(void **state)
{
    struct store *store = one_lane();
    int64_t mailbox = mailbox_new(), other = mailbox_new();
    struct drop_holder holder = test_holder;
    const struct mailbox_versions none = { 0, 0 }, odd = { 5, 6 };
    uint32_t pid;

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct login_lane *lane = login_lane_new(store, NULL, NULL);
        struct opened o = { 0 };

        assert_true(login_lane_pid(lane, &pid) && pid > 0);
        holder.versions = i == 5 ? odd : none;
        holder.ticket = i == 0 ? ticket_for(other, &none, pid) : i == 1 ? ticket_for(mailbox, &none, pid + 1) : ticket_for(mailbox, i == 2 ? &odd : &none, pid);
        holder.ticket.octets[MAILBOX_TICKET - 1] ^= i == 3;
        if (i == 4)
            holder.ticket = (struct mailbox_ticket){ { 0 } };
        drop_open(store, &lane, BOX(mailbox), &holder, opened, &o);
        while (!o.answered)
            wait_for_answer();
        expect_status(o.status, i == 5 ? DB_UNCONFIRMED : DB_RETRY);
        assert_int_equal(admin_number("select count(*) from postern.held_maildrops() where mailbox = %lld", (long long)mailbox), 0);
    }
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_while_idle),
        cmocka_unit_test(lost_before_opening),
        cmocka_unit_test(no_valid_ticket),
        cmocka_unit_test(lost_while_opening),
        cmocka_unit_test(lost_while_reading),
        cmocka_unit_test(lost_while_committing),
        cmocka_unit_test(lost_and_not_noticed_yet),
        cmocka_unit_test(away_and_back),
        cmocka_unit_test(lock_taken_away),
    };
    if (without_database("drop_lost"))
        return 0;
    return cmocka_run_group_tests_name("drop_lost", tests, database_setup, database_teardown);
}
