/*
 * Moving the locks of resting sessions to a lane of their own (P2, P3): nobody
 * else gets in meanwhile, whatever dies at whatever step, and a session that
 * may have lost its lock deletes nothing.
 *
 * move_locks() is wrapped: slow enough that a stranger tries between any two
 * steps, and with a trap at one of them.
 */
#include "tests/unit/db_fixture.h"

#include "storage/maildrop/aside.h"
#include "storage/maildrop/drop_impl.h"

enum { DROPS = 3 };

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

static int wrap(void **state)
{
    if (database_setup(state) != 0)
        return -1;
    /* A trap springs once, and a sequence remembers that through the end of any transaction. */
    admin_do("alter function postern.move_locks(integer, bigint[], integer, bigint, bytea) rename to move_locks_really; create sequence public.sprung;"
             " create table public.trap (step integer, late boolean, what text);"
             " create function public.spring(t public.trap) returns boolean language plpgsql as $$ begin"
             "   if t.what = 'error' then raise exception 'trap' using errcode = '53200'; end if;"
             "   perform pg_terminate_backend(a.pid) from pg_stat_activity a where a.datname = current_database() and a.usename = 'postern_mail'"
             "       and t.what = case a.pid when pg_backend_pid() then 'this' else 'other' end;"
             "   perform pg_sleep(0.02);"
             "   return t.what = 'refuse'; end $$");
    admin_do("create function postern.move_locks(p_step integer, p_mailboxes bigint[], p_pid integer, p_until bigint, p_pass bytea,"
             "   out failed integer, out until bigint, out pass bytea)"
             " language plpgsql security definer as $$"
             " declare t public.trap; begin"
             "   select * into t from public.trap where step = p_step;"
             "   if found and nextval('public.sprung') > 1 then t := null; end if;"
             "   perform pg_sleep(0.01);"
             "   if not t.late and public.spring(t) then failed := 1; return; end if;"
             "   select r.* into failed, until, pass from postern.move_locks_really(p_step, p_mailboxes, p_pid, p_until, p_pass) r;"
             "   if t.late then perform public.spring(t); end if;"
             "   perform pg_sleep(0.01);"
             "   end $$;"
             " grant execute on function postern.move_locks(integer, bigint[], integer, bigint, bytea) to postern_mail");
    return 0;
}

static int unwrap(void **state)
{
    admin_do("drop function postern.move_locks(integer, bigint[], integer, bigint, bytea); drop function public.spring(public.trap); drop table public.trap;"
             " drop sequence public.sprung; alter function postern.move_locks_really(integer, bigint[], integer, bigint, bytea) rename to move_locks");
    return database_teardown(state);
}

static void set_trap(int step, bool late, const char *what)
{
    admin_do("truncate public.trap; alter sequence public.sprung restart");
    if (step > 0)
        admin_do("insert into public.trap values (%d, %s, '%s')", step, late ? "true" : "false", what);
}

/* ---- a store whose sessions are moved when the test says so */

static struct store *store_of(size_t lanes)
{
    struct storage_settings s = test_settings;
    s.database_lanes = (long long)lanes;
    struct store *store = test_store(&s);
    wait_for_lanes(store, lanes);
    store->aside->rest = 0;
    store->aside->many = 1;
    return store;
}

/* Until a move is under way. */
static void begin_move(struct store *store)
{
    for (int i = 0; i < 2000 && !store->aside->moving; i++) {
        aside_next(store->aside);
        if (!store->aside->moving)
            turn_for(1);
    }
    assert_true(store->aside->moving);
    store->aside->rest = 1000000;    /* this one, and none behind it */
}

static void move_all(struct store *store, size_t count)
{
    begin_move(store);
    while (store->aside->moving)
        turn_for(1);
    assert_int_equal(pg_bound_aside(store->pg), count);
}

static bool stranger_gets(int64_t mailbox)
{
    return admin_number("select pg_try_advisory_lock(postern.lock_key(%lld))::int", (long long)mailbox) == 1;
}

static void stranger_leaves(int64_t mailbox)
{
    assert_int_equal(admin_number("select pg_advisory_unlock(postern.lock_key(%lld))::int", (long long)mailbox), 1);
}

static int64_t locks_of(int64_t mailbox)
{
    return admin_number("select count(*) from postern.held_maildrops() where mailbox = %lld", (long long)mailbox);
}

/* As soon as the database has noticed that connections are gone. */
static void expect_no_locks(int64_t mailbox)
{
    for (int i = 0; i < 15000 && locks_of(mailbox) > 0; i++)
        turn_for(2);
    assert_int_equal(locks_of(mailbox), 0);
}

/* A backend of a store that was freed takes the locks yet that were asked for before, and then gives them back. */
static void expect_no_backends(void)
{
    static const char others[] = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                                 " and backend_type = 'client backend'";

    for (int i = 0; i < 15000 && admin_number(others) > 0; i++)
        turn_for(2);
    assert_int_equal(admin_number(others), 0);
}

struct three {
    int64_t mailbox[DROPS];
    struct drop *drop[DROPS];
};

static struct three open_three(struct store *store)
{
    struct three t;
    for (int i = 0; i < DROPS; i++) {
        t.mailbox[i] = mailbox_new();
        messages_add(t.mailbox[i], 2, 10);
        t.drop[i] = must_open(store, t.mailbox[i]);
    }
    return t;
}

/* ---- all goes well */

static void moved_and_used(void **state)
{
    struct store *store = store_of(2), *other = store_of(1);
    struct three t = open_three(store);
    struct buf out = BUF_EMPTY;

    (void)state;
    set_trap(0, false, NULL);
    begin_move(store);
    while (store->aside->moving) {
        for (int i = 0; i < DROPS; i++)
            assert_false(stranger_gets(t.mailbox[i]));
        turn_for(1);
    }
    store->aside->rest = 0;      /* those of the other lane */
    move_all(store, DROPS);
    assert_int_equal(store_lanes_up(store), 2);
    assert_int_equal(admin_number("select count(distinct pid) from postern.held_maildrops() where mailbox = any ('{%lld,%lld,%lld}')",
                                  (long long)t.mailbox[0], (long long)t.mailbox[1], (long long)t.mailbox[2]), 1);
    assert_int_equal(admin_number("select count(*) from pg_locks where locktype = 'advisory' and mode <> 'ExclusiveLock'"
                                  " and database = (select oid from pg_database where datname = current_database())"), 0);
    for (int i = 0; i < DROPS; i++) {
        assert_int_equal(locks_of(t.mailbox[i]), 1);
        expect_status(open_drop(store, t.mailbox[i]).status, DB_LOCKED);
        expect_status(open_drop(other, t.mailbox[i]).status, DB_LOCKED);
    }
    /* There it can do all that it could before. */
    expect_status(read_message(t.drop[0], 0, &out), DB_OK);
    expect_status(finish(t.drop[0], (const unsigned char[]){ 1, 0 }), DB_OK);
    expect_status(finish(t.drop[1], NULL), DB_OK);
    expect_status(read_message(t.drop[2], 1, &out), DB_OK);
    drop_note_retrieved(t.drop[2], 1);
    drop_note_sent(t.drop[2]);
    expect_status(finish(t.drop[2], NULL), DB_OK);
    assert_int_equal(messages_in(t.mailbox[0]), 1);
    for (int i = 0; i < DROPS; i++) {
        assert_int_equal(locks_of(t.mailbox[i]), 0);
        expect_status(finish(must_open(other, t.mailbox[i]), NULL), DB_OK);
    }
    buf_free(&out);
    store_free(&other);
    store_free(&store);
}

/* Only who rests, and only where there are many. */
static void not_moved(void **state)
{
    struct store *store = store_of(1);
    struct three t = open_three(store);

    (void)state;
    store->aside->many = DROPS + 1;
    for (int i = 0; i < 20; i++, turn_for(1))
        aside_next(store->aside);
    assert_false(store->aside->moving);
    store->aside->many = 1;
    store->aside->rest = 1000000;
    for (int i = 0; i < 100; i++, turn_for(1))
        aside_next(store->aside);
    assert_false(store->aside->moving);
    assert_int_equal(pg_bound_aside(store->pg), 0);
    for (int i = 0; i < DROPS; i++)
        expect_status(finish(t.drop[i], NULL), DB_OK);
    store_free(&store);
}

/* What is asked in the midst of a move, so many milliseconds after its beginning. */
static void busy_in_between(void **state)
{
    (void)state;
    set_trap(0, false, NULL);
    for (unsigned after = 0; after < 100; after += 16) {
        struct store *store = store_of(1);
        struct three t = open_three(store);
        struct buf out = BUF_EMPTY;
        struct got g = { 0 };
        struct finished f[DROPS] = { { 0 } };

        begin_move(store);
        turn_for(after);
        /* One reads and quits; one deletes; one reads, does not want it any more, and quits. */
        assert_int_equal(drop_read(t.drop[2], 0, 0, WANT_WHOLE, &g.piece, got_piece, &g), 0);
        drop_read_forget(t.drop[2]);
        drop_finish(&t.drop[2], NULL, finished, &f[2]);
        drop_finish(&t.drop[1], (const unsigned char[]){ 1, 1 }, finished, &f[1]);
        expect_status(read_message(t.drop[0], 0, &out), DB_OK);
        drop_finish(&t.drop[0], (const unsigned char[]){ 1, 0 }, finished, &f[0]);
        while (!f[0].answered || !f[1].answered || !f[2].answered)
            wait_for_answer();
        assert_false(g.answered);
        for (int i = 0; i < DROPS; i++) {
            expect_status(f[i].status, DB_OK);
            assert_int_equal(messages_in(t.mailbox[i]), i == 0 ? 1 : i == 1 ? 0 : 2);
            assert_int_equal(locks_of(t.mailbox[i]), 0);
        }
        assert_int_equal(store_held(store), 0);
        assert_int_equal(store->held.places.count, 0);
        buf_free(&out);
        store_free(&store);
    }
}

static void freed_in_between(void **state)
{
    (void)state;
    set_trap(0, false, NULL);
    for (unsigned after = 0; after < 100; after += 16) {
        struct store *store = store_of(1);
        struct three t = open_three(store);
        begin_move(store);
        turn_for(after);
        for (int i = 0; i < DROPS; i++)
            drop_finish(&t.drop[i], NULL, NULL, NULL);
        store_free(&store);
        expect_no_backends();
        for (int i = 0; i < DROPS; i++)
            expect_no_locks(t.mailbox[i]);
    }
}

/* ---- and not so well */

static void aside_is_lost(void **state)
{
    struct store *store = store_of(1);
    struct three t = open_three(store);

    (void)state;
    set_trap(0, false, NULL);
    move_all(store, DROPS);
    struct three on_lane = open_three(store);
    admin_number("select count(pg_terminate_backend(pid)) from postern.held_maildrops() where mailbox = %lld", (long long)t.mailbox[0]);
    for (int i = 0; i < 1000 && !drop_lost(t.drop[0]); i++)
        turn_for(2);
    for (int i = 0; i < DROPS; i++) {
        assert_true(drop_lost(t.drop[i]));
        assert_false(drop_lost(on_lane.drop[i]));
        assert_true(stranger_gets(t.mailbox[i]));
        expect_status(finish(t.drop[i], (const unsigned char[]){ 1, 1 }), DB_LOST);
        assert_int_equal(messages_in(t.mailbox[i]), 2);
        stranger_leaves(t.mailbox[i]);
        expect_status(finish(on_lane.drop[i], (const unsigned char[]){ 1, 1 }), DB_OK);
    }
    /* It comes back and serves again. */
    t = open_three(store);
    store->aside->rest = 0;
    move_all(store, DROPS);
    for (int i = 0; i < DROPS; i++)
        expect_status(finish(t.drop[i], NULL), DB_OK);
    store_free(&store);
}

/*
 * A stranger tries all the time and keeps what he gets. Whose maildrop he got
 * deletes nothing; who kept it deletes. Nothing stays locked.
 */
static void sprung(int step, bool late, const char *what, bool survives)
{
    bool got[DROPS] = { false };

    set_trap(step, late, what);
    struct store *store = store_of(1);
    struct three t = open_three(store);
    begin_move(store);
    for (int n = 0; store->aside->moving || n < 30; n++) {
        for (int i = 0; i < DROPS; i++)
            got[i] = got[i] || stranger_gets(t.mailbox[i]);
        turn_for(1);
    }
    for (int i = 0; i < DROPS; i++) {
        assert_true(drop_lost(t.drop[i]) || !got[i]);   /* even before the database is asked */
        enum db_status status = finish(t.drop[i], (const unsigned char[]){ 1, 1 });
        if (survives || (got[i] && status == DB_OK))
            expect_status(status, survives ? DB_OK : DB_LOST);
        assert_true(status == DB_OK || status == DB_LOST);
        assert_int_equal(messages_in(t.mailbox[i]), status == DB_OK ? 0 : 2);
        if (got[i])
            stranger_leaves(t.mailbox[i]);
        expect_no_locks(t.mailbox[i]);
    }
    wait_for_lanes(store, 1);
    for (int i = 0; i < DROPS; i++)
        expect_status(finish(must_open(store, t.mailbox[i]), NULL), DB_OK);
    assert_int_equal(store->held.places.count, 0);
    store_free(&store);
}

static void sprung_at_every_step(void **state)
{
    (void)state;
    for (int step = 1; step <= 4; step++)
        for (int late = 0; late <= 1; late++) {
            /* Before it joined nobody relies on the lane aside. */
            sprung(step, late, "this", step == 2);
            sprung(step, late, "other", step == 1);
            sprung(step, late, "error", step == 2 && late == 0);
        }
    for (int step = 1; step <= 4; step++)
        sprung(step, false, "refuse", step == 2);
}

/* One that cannot be had: none is kept. */
static void all_or_none(void **state)
{
    int64_t one = mailbox_new(), taken = mailbox_new();
    PGconn *second = PQconnectdb(getenv("POSTERN_TEST_DB"));
    int64_t until = admin_number("select postern.now_ms() + 60000");
    char sql[600];

    (void)state;
    assert_true(stranger_gets(taken));
    snprintf(sql, sizeof sql, "select failed from postern.ticket_key k, postern.move_locks_really(2, '{%lld,%lld}', null, %lld,"
             " postern.signed(k, postern.pass_text('{%lld,%lld}', pg_backend_pid(), %lld)))",
             (long long)one, (long long)taken, (long long)until, (long long)one, (long long)taken, (long long)until);
    PGresult *res = PQexec(second, sql);
    assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
    assert_string_equal(PQgetvalue(res, 0, 0), "2");
    PQclear(res);
    assert_int_equal(locks_of(one), 0);
    stranger_leaves(taken);
    PQfinish(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moved_and_used),
        cmocka_unit_test(not_moved),
        cmocka_unit_test(busy_in_between),
        cmocka_unit_test(freed_in_between),
        cmocka_unit_test(aside_is_lost),
        cmocka_unit_test(sprung_at_every_step),
        cmocka_unit_test(all_or_none),
    };
    if (without_database("aside"))
        return 0;
    return cmocka_run_group_tests_name("aside", tests, wrap, unwrap);
}
