/*
 * Maildrops against a real PostgreSQL: lock, listing, commit.
 */
#include "tests/unit/db_fixture.h"

#include "storage/maildrop/drop_impl.h"

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

static void expect_uidl(const struct drop *drop, size_t i, const char *wanted)
{
    char out[UIDL_MAX + 1];
    out[drop_message_uidl(drop, i, out)] = '\0';
    assert_string_equal(out, wanted);
}

static void listing_is_what_is_there(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t empty = mailbox_new(), full = mailbox_new();
    char native[40];

    (void)state;
    message_add(full, "abc\r\n", 5, NULL, NULL);
    message_add(full, "", 0, NULL, "from-the-old-server");
    message_add(full, "abc\r\n", 5, "anna@example.org", NULL);

    struct drop *d = must_open(store, empty);
    assert_int_equal(drop_count(d), 0);
    assert_int_equal(drop_octets(d), 0);
    assert_int_equal(store_held(store), 1);
    expect_status(finish(d, NULL), DB_OK);
    assert_int_equal(store_held(store), 0);

    d = must_open(store, full);
    assert_int_equal(drop_count(d), 3);
    assert_int_equal(drop_message_octets(d, 0), 5);
    assert_int_equal(drop_message_octets(d, 1), 0);
    assert_int_equal(drop_message_octets(d, 2), 5 + strlen("Delivered-To: anna@example.org\r\n"));
    assert_int_equal(drop_octets(d), 10 + strlen("Delivered-To: anna@example.org\r\n"));
    snprintf(native, sizeof native, "%012llx.1",
             (unsigned long long)admin_number("select uidvalidity from postern.mailbox where mailbox = %lld", (long long)full));
    expect_uidl(d, 0, native);
    expect_uidl(d, 1, "from-the-old-server");
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
}

/* P3, L01: whoever asks, here or elsewhere, there is one holder. */
static void one_holder(void **state)
{
    struct store *here = test_store(&test_settings), *there = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    struct drop *d = must_open(here, mailbox);
    unsigned long long before = store_statements(here);
    expect_status(open_drop(here, mailbox).status, DB_LOCKED);
    assert_true(store_statements(here) == before);     /* known without the database */
    expect_status(open_drop(there, mailbox).status, DB_LOCKED);
    expect_status(finish(d, NULL), DB_OK);
    d = must_open(there, mailbox);
    expect_status(open_drop(here, mailbox).status, DB_LOCKED);
    expect_status(finish(d, NULL), DB_OK);
    store_free(&here);
    store_free(&there);
}

/* Q17: once the end was told, the next login gets in, wherever it lands. */
static void never_in_use_after_the_end(void **state)
{
    struct store *stores[] = { test_store(&test_settings), test_store(&test_settings) };
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 30, 100);
    for (size_t round = 0; round < 300; round++) {
        struct drop *d = must_open(stores[round % 3 % 2], mailbox);
        unsigned char marks[30] = { [0] = 1 };
        expect_status(finish(d, round % 10 == 0 ? marks : NULL), DB_OK);
    }
    assert_int_equal(messages_in(mailbox), 0);
    store_free(&stores[0]);
    store_free(&stores[1]);
}

static void gone_and_disabled(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    expect_status(open_drop(store, INT64_C(281474976710655)).status, DB_NOT_FOUND);
    admin_do("update postern.mailbox set enabled = false where mailbox = %lld", (long long)mailbox);
    expect_status(open_drop(store, mailbox).status, DB_NOT_FOUND);
    admin_do("update postern.mailbox set enabled = true where mailbox = %lld", (long long)mailbox);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

/* A cached login opens its maildrop as long as it holds; it is not told that somebody else is in, nor that it is disabled. */
static void cached_login_holds(void **state)
{
    struct store *here = test_store(&test_settings), *there = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct drop_holder holder = test_holder;

    (void)state;
    holder.versions = (struct mailbox_versions){
        admin_number("select proof from postern.mailbox where mailbox = %lld", (long long)mailbox),
        admin_number("select version from postern.policy_version"),
    };
    struct opened o = open_with(here, mailbox, &holder);
    expect_status(o.status, DB_OK);
    expect_status(open_with(here, mailbox, &holder).status, DB_UNCONFIRMED);
    expect_status(open_with(there, mailbox, &holder).status, DB_UNCONFIRMED);
    expect_status(open_drop(there, mailbox).status, DB_LOCKED);
    expect_status(finish(o.drop, NULL), DB_OK);

    for (int i = 0; i < 2; i++) {
        struct drop_holder wrong = holder;
        if (i == 0)
            wrong.versions.proof--;
        else
            wrong.versions.policy--;
        expect_status(open_with(here, mailbox, &wrong).status, DB_UNCONFIRMED);
        assert_int_equal(admin_number("select count(*) from postern.held_maildrops() where mailbox = %lld", (long long)mailbox), 0);
    }
    admin_do("update postern.mailbox set enabled = false where mailbox = %lld", (long long)mailbox);
    expect_status(open_with(here, mailbox, &holder).status, DB_UNCONFIRMED);
    admin_do("update postern.mailbox set enabled = true where mailbox = %lld", (long long)mailbox);
    o = open_with(here, mailbox, &holder);
    expect_status(o.status, DB_OK);
    expect_status(finish(o.drop, NULL), DB_OK);
    store_free(&here);
    store_free(&there);
}

/* The statement budget: a poll is two statements; the listing follows deliveries and removals by others. */
static void listing_between_sessions(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 50, 10);
    for (int i = 0; i < 3; i++) {
        unsigned long long before = store_statements(store);
        struct drop *d = must_open(store, mailbox);
        assert_int_equal(drop_count(d), 50);
        expect_status(finish(d, NULL), DB_OK);
        assert_int_equal(store_statements(store) - before, 2);
    }

    message_add(mailbox, "0123456789\r\n", 12, NULL, "delta");
    struct drop *d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 51);
    assert_int_equal(drop_octets(d), 512);
    expect_uidl(d, 50, "delta");
    /* X07: what is delivered now is for the next session. */
    messages_add(mailbox, 1, 10);
    assert_int_equal(drop_count(d), 51);
    expect_status(finish(d, NULL), DB_OK);

    admin_do("select postern.remove_messages(%lld, array[1, 3])", (long long)mailbox);
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 50);
    expect_uidl(d, 48, "delta");
    expect_status(finish(d, NULL), DB_OK);

    /* Dropped and made again: nothing of the old one counts. */
    admin_do("update postern.mailbox set uidvalidity = uidvalidity # 1 where mailbox = %lld", (long long)mailbox);
    admin_do("delete from postern.message where mailbox = %lld and uid < 50", (long long)mailbox);
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 3);
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
}

/* A server that knows less than the one that was listed from: not now; and whoever comes next is given what it has. */
static void listing_that_went_back(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 5, 10);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    admin_do("delete from postern.message where mailbox = %lld and uid = 5", (long long)mailbox);
    admin_do("update postern.mailbox set next_uid = 5, messages = 4, octets = 40 where mailbox = %lld",
             (long long)mailbox);
    expect_status(open_drop(store, mailbox).status, DB_RETRY);
    struct drop *d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 4);
    expect_status(finish(d, NULL), DB_OK);

    admin_do("update postern.mailbox set expunges = 7 where mailbox = %lld", (long long)mailbox);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    admin_do("update postern.mailbox set expunges = 6 where mailbox = %lld", (long long)mailbox);
    expect_status(open_drop(store, mailbox).status, DB_RETRY);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

/* Q01: exactly the marked ones; and the listing that is kept agrees with the database afterwards. */
static void commit_removes_the_marked(void **state)
{
    struct store *store = test_store(&test_settings), *fresh = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    unsigned char marks[20] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        messages_add(mailbox, 1, 100 + i);
    struct drop *d = must_open(store, mailbox);
    marks[0] = marks[7] = marks[19] = 1;
    messages_add(mailbox, 1, 500);      /* Q16: delivered during the session */
    unsigned long long before = store_statements(store);
    expect_status(finish(d, marks), DB_OK);
    assert_int_equal(store_statements(store) - before, 2);
    assert_int_equal(messages_in(mailbox), 18);
    assert_int_equal(admin_number("select messages from postern.mailbox where mailbox = %lld", (long long)mailbox), 18);

    d = must_open(store, mailbox);
    struct drop *none = NULL;
    expect_status(finish(d, NULL), DB_OK);
    none = must_open(fresh, mailbox);
    assert_int_equal(drop_count(none), 18);
    expect_status(finish(none, NULL), DB_OK);
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 18);
    uint64_t octets = 0;
    for (size_t i = 0; i < 18; i++) {
        char uidl[UIDL_MAX + 1];
        uidl[drop_message_uidl(d, i, uidl)] = '\0';
        octets += drop_message_octets(d, i);
        assert_int_equal(admin_number("select octets from postern.message where mailbox = %lld and uid = %s",
                                      (long long)mailbox, strchr(uidl, '.') + 1),
                         drop_message_octets(d, i));
    }
    assert_true(octets == drop_octets(d));
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
    store_free(&fresh);
}

static void retrieve_two(struct drop *d)
{
    drop_note_retrieved(d, 2);
    drop_note_retrieved(d, 0);
    drop_note_sent(d);
}

static int64_t sessions_noted(int64_t mailbox)
{
    return admin_number("select count(*) from postern.history where mailbox = %lld and what = 'session' and messages = 2 and octets = 20"
                        " and session = '0123abcd' and peer = '192.0.2.1:4242' and at between now() - interval '10 s' and now()"
                        " and since <= at", (long long)mailbox);
}

/* What was retrieved is told once, after the end; not what the client did not take; and nothing where there was nothing. */
static void session_is_noted(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 9, 10);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    assert_int_equal(admin_number("select count(*) from postern.history where mailbox = %lld", (long long)mailbox), 0);

    struct drop *d = must_open(store, mailbox);
    drop_note_retrieved(d, 4);
    drop_note_retrieved(d, 2);
    drop_note_sent(d);
    drop_note_retrieved(d, 8);
    drop_note_retrieved(d, 4);
    unsigned long long before = store_statements(store);
    expect_status(finish(d, NULL), DB_OK);
    assert_int_equal(store_statements(store) - before, 1);
    for (int i = 0; sessions_noted(mailbox) == 0 && i < 2000; i++)
        turn_for(5);
    assert_int_equal(sessions_noted(mailbox), 1);

    /* Where it cannot be noted nothing else comes to harm. */
    log_set_level(LOG_LEVEL_ERROR);
    d = must_open(store, mailbox);
    retrieve_two(d);
    admin_do("alter table postern.history rename to history_away");
    expect_status(finish(d, NULL), DB_OK);
    turn_for(1500);
    admin_do("alter table postern.history_away rename to history");
    assert_int_equal(sessions_noted(mailbox), 1);
    expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
    store_free(&store);
}

/* A client that retrieves in any order, and the same again, before it takes any of it. */
static void retrieved_in_any_order(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 9, 10);
    struct drop *d = must_open(store, mailbox);
    for (size_t i = 0; i < 6; i++)
        drop_note_retrieved(d, (const size_t[]){ 4, 7, 5, 2, 5, 3 }[i]);
    drop_note_sent(d);
    drop_note_retrieved(d, 8);      /* and is gone */
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
    assert_int_equal(admin_number("select messages * 1000 + octets from postern.history where mailbox = %lld", (long long)mailbox), 5050);
}

/* An expunge() that answers less than it should: what it did is committed and told, and no listing is kept that may be wrong. */
static void expunge_without_all_columns(void **state)
{
    static const char args[] = "bigint, bigint[], text, text, bigint, bigint[], bigint, bytea";
    static const char *const columns[] = { "null::bigint, expunges, deferred", "removed, null::bigint, deferred", "removed, expunges, null::boolean" };
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 4, 10);
    admin_do("alter function postern.expunge(%s) rename to expunge_away", args);
    for (size_t i = 0; i < 3; i++) {
        admin_do("create function postern.expunge(%s, out removed bigint, out expunges bigint, out deferred boolean)"
                 " language sql security definer as $$ select %s from postern.expunge_away($1, $2, $3, $4, $5, $6, $7, $8) $$;"
                 " grant execute on function postern.expunge(%s) to postern_mail", args, columns[i], args);
        struct drop *d = must_open(store, mailbox);
        assert_int_equal(drop_count(d), 4 - i);
        expect_status(finish(d, (const unsigned char[]){ 1, 0, 0, 0 }), DB_OK);
        assert_int_equal(messages_in(mailbox), 3 - i);
        admin_do("drop function postern.expunge(%s)", args);
    }
    admin_do("alter function postern.expunge_away(%s) rename to expunge", args);
    struct drop *d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 1);
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
}

/* Many at once are one statement, and what was not written yet is written at the end. */
static void sessions_are_noted_together(void **state)
{
    enum { SESSIONS = 300 };
    struct store *store = test_store(&test_settings);
    int64_t mailboxes[2] = { mailbox_new(), mailbox_new() };

    (void)state;
    admin_do("insert into postern.policy (mailbox, expire_retrieved) values (%lld, 5)", (long long)mailboxes[1]);
    for (size_t i = 0; i < 2; i++)
        messages_add(mailboxes[i], 4, 10);
    unsigned long long before = store_statements(store);
    for (size_t i = 0; i < SESSIONS; i++) {
        struct drop *d = must_open(store, mailboxes[i % 2]);
        retrieve_two(d);
        expect_status(finish(d, NULL), DB_OK);
    }
    assert_in_range(store_statements(store) - before, 2 * SESSIONS, 2 * SESSIONS + 10);
    store_free(&store);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sessions_noted(mailboxes[i]), SESSIONS / 2);
        assert_int_equal(admin_number("select coalesce(sum(uid) filter (where retrieved_at is not null), 0) from postern.message"
                                      " where mailbox = %lld", (long long)mailboxes[i]), i == 0 ? 0 : 1 + 3);
    }
    admin_do("delete from postern.policy where mailbox = %lld", (long long)mailboxes[1]);
}

/* The lane is lost, and the session with it: what it did is noted over the next one. */
static void noted_over_another_lane(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    messages_add(mailbox, 4, 10);
    struct drop *d = must_open(store, mailbox);
    retrieve_two(d);
    admin_do("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_mail' and datname = current_database()");
    while (!drop_lost(d))
        turn_for(5);
    drop_finish(&d, NULL, NULL, NULL);
    for (int i = 0; sessions_noted(mailbox) == 0 && i < 2000; i++)
        turn_for(5);
    assert_int_equal(sessions_noted(mailbox), 1);
    store_free(&store);
}

/* An operator removes messages while the session marks others, or the same. */
static void removed_by_two(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    unsigned char marks[6] = { 0, 1, 0, 0, 0, 0 };

    (void)state;
    messages_add(mailbox, 6, 10);
    struct drop *d = must_open(store, mailbox);
    admin_do("select postern.remove_messages(%lld, array[2, 5])", (long long)mailbox);
    expect_status(finish(d, marks), DB_OK);
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 4);
    admin_do("select postern.remove_messages(%lld, array[1])", (long long)mailbox);
    expect_status(finish(d, marks), DB_OK);     /* uid 3 */
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 2);
    expect_status(finish(d, (const unsigned char[]){ 1, 1 }), DB_OK);
    assert_int_equal(messages_in(mailbox), 0);
    store_free(&store);
}

/* Q03, Q04: a commit that fails at its very end removes nothing and gives the lock back; the lane's other sessions live. */
static void commit_that_fails(void **state)
{
    struct storage_settings one_lane = test_settings;
    one_lane.database_lanes = 1;
    struct store *store = test_store(&one_lane);
    int64_t mailbox = mailbox_new(), neighbour = mailbox_new();

    (void)state;
    messages_add(mailbox, 3, 10);
    messages_add(neighbour, 1, 10);
    struct drop *next = must_open(store, neighbour);
    struct drop *d = must_open(store, mailbox);
    admin_do("create function public.no_commit() returns trigger language plpgsql as"
             " $$ begin raise exception 'disk full, they say' using errcode = '53100'; end $$;"
             " create constraint trigger no_commit after update on postern.mailbox deferrable initially deferred"
             " for each row when (new.mailbox = %lld) execute function public.no_commit()", (long long)mailbox);
    log_set_level(LOG_LEVEL_ERROR);
    enum db_status status = finish(d, (const unsigned char[]){ 1, 1, 1 });
    admin_do("drop trigger no_commit on postern.mailbox; drop function public.no_commit()");
    expect_status(status, DB_RETRY);
    assert_int_equal(messages_in(mailbox), 3);
    d = must_open(store, mailbox);
    assert_int_equal(drop_count(d), 3);
    assert_false(drop_lost(next));
    expect_status(finish(d, NULL), DB_OK);
    expect_status(finish(next, (const unsigned char[]){ 1 }), DB_OK);
    assert_int_equal(messages_in(neighbour), 0);
    store_free(&store);
}

static void asker_leaves(void **state)
{
    struct store *store = test_store(&test_settings), *other = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct opened never = { 0 }, got = { 0 };

    (void)state;
    wait_for_lanes(store, 2);
    uint64_t id = open_for(store, mailbox, &test_holder, opened, &never);
    drop_forget(store, id);
    drop_forget(store, id);
    /* The lock is taken and given back meanwhile. */
    for (int i = 0; i < 1000 && (got = open_drop(other, mailbox)).status != DB_OK; i++)
        turn_for(2);
    expect_status(got.status, DB_OK);
    assert_false(never.answered);
    assert_int_equal(store_held(store), 0);
    assert_int_equal(store_held(other), 1);
    expect_status(finish(got.drop, NULL), DB_OK);
    store_free(&store);
    store_free(&other);
}

/* A statement that takes too long is cancelled by the database: the lane lives, and no lock stays behind. */
static void statement_timeout(void **state)
{
    struct storage_settings quick = test_settings;
    quick.database_statement_timeout = 300;
    quick.database_lanes = 1;
    struct store *store = test_store(&quick), *other = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    messages_add(mailbox, 1, 10);
    wait_for_lanes(store, 1);
    admin_do("begin; lock table postern.message in access exclusive mode");
    expect_status(open_drop(store, mailbox).status, DB_RETRY);
    admin_do("commit");
    assert_int_equal(store_lanes_up(store), 1);
    struct drop *d = must_open(other, mailbox);
    expect_status(finish(d, NULL), DB_OK);

    d = must_open(store, mailbox);
    admin_do("begin; lock table postern.message in access exclusive mode");
    expect_status(finish(d, (const unsigned char[]){ 1 }), DB_RETRY);
    admin_do("commit");
    assert_int_equal(messages_in(mailbox), 1);
    expect_status(finish(must_open(other, mailbox), NULL), DB_OK);
    store_free(&store);
    store_free(&other);
}

static void database_away_or_not_ours(void **state)
{
    struct store *store = store_at("host=/nonexistent dbname=x", &test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    expect_status(open_drop(store, mailbox).status, DB_RETRY);
    expect_status(open_drop(store, mailbox).status, DB_RETRY);
    assert_int_equal(store_lanes_up(store), 0);
    store_free(&store);

    char *error = NULL, words[64];
    snprintf(words, sizeof words, "dbname=postern_empty_%ld", (long)getpid());
    admin_do("create database postern_empty_%ld", (long)getpid());
    char *conninfo = conninfo_merge(getenv("POSTERN_TEST_DB"), words, "t", &error);
    store = store_at(conninfo, &test_settings);
    expect_status(open_drop(store, mailbox).status, DB_BUG);
    assert_non_null(wrong_schema_text);
    assert_non_null(strstr(wrong_schema_text, "posternctl schema init"));
    store_free(&store);
    mem_free(conninfo);
    admin_do("drop database postern_empty_%ld", (long)getpid());
}

/* ---- more than one answer lists */

enum { AT_ONCE = 20000 };

/* So many more, with every third uid. */
static void add_many(int64_t mailbox, int messages)
{
    admin_do("insert into postern.message (mailbox, uid, content, octets, uidl)"
             " select m.mailbox, m.next_uid + 3 * n, g.content, 5, case when n %% 7 = 0 then 'own' || m.next_uid + n end"
             "   from postern.mailbox m, generate_series(0, %d - 1) n, (select content from postern.message where mailbox = %lld limit 1) g"
             "  where m.mailbox = %lld", messages, (long long)mailbox, (long long)mailbox);
    admin_do("update postern.mailbox set next_uid = next_uid + 3 * %d, messages = messages + %d, octets = octets + 5 * %d where mailbox = %lld",
             messages, messages, messages, (long long)mailbox);
}

static void expect_all(struct drop *drop, int64_t mailbox)
{
    char uidl[UIDL_MAX];
    size_t count = drop_count(drop), len;

    assert_int_equal(count, messages_in(mailbox));
    assert_int_equal(drop_octets(drop), 5 * count);
    for (size_t i = 0; i < count; i += AT_ONCE / 2) {
        len = drop_message_uidl(drop, i, uidl);
        char *is = mem_strn(uidl, len);
        assert_string_equal(is, admin_value("select coalesce(g.uidl, postern.uidl_prefix(m.uidvalidity) || g.uid) from postern.message g"
                                            " join postern.mailbox m using (mailbox) where m.mailbox = $1::bigint order by g.uid offset $2::bigint limit 1",
                                            mailbox_text(BOX(mailbox)).s, mailbox_text(BOX((int64_t)i)).s));
        mem_free(is);
    }
}

static void long_listing(void **state)
{
    /* Some without a cache: each opening lists all. */
    static const int sizes[] = { AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 5 };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct store *store = test_store(&test_settings), *other = test_store(&test_settings);
        int64_t mailbox = mailbox_new();

        message_add(mailbox, "abc\r\n", 5, NULL, NULL);
        add_many(mailbox, sizes[i] - 1);
        struct drop *drop = must_open(store, mailbox);
        expect_all(drop, mailbox);
        expect_status(finish(drop, NULL), DB_OK);
        /* What is new, behind what is remembered, too. */
        add_many(mailbox, AT_ONCE + 7);
        drop = must_open(store, mailbox);
        expect_all(drop, mailbox);
        expect_status(finish(drop, NULL), DB_OK);
        /* Who has left before it is whole leaves no lock. */
        struct opened o = { 0 };
        drop_forget(other, open_for(other, mailbox, &test_holder, opened, &o));
        for (int n = 0; n < 5000 && other->held.places.count > 0; n++)
            turn_for(1);
        assert_false(o.answered);
        assert_int_equal(other->held.places.count, 0);
        expect_status(finish(must_open(store, mailbox), NULL), DB_OK);
        store_free(&store);
        store_free(&other);
    }
}

/* The connection is lost between two answers: no lock, and the asker may try again. */
static void lost_while_listing(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct opened o = { 0 };

    (void)state;
    message_add(mailbox, "abc\r\n", 5, NULL, NULL);
    add_many(mailbox, AT_ONCE + 5);
    admin_do("alter function postern.list_rest(bigint, bigint, bigint, bytea) rename to list_rest_really;"
             " create function postern.list_rest(p_mailbox bigint, p_from bigint, p_below bigint, p_ticket bytea, out uids bigint[],"
             "   out octets bigint[], out uidls text[]) language plpgsql security definer as $$ begin"
             "   perform pg_terminate_backend(pg_backend_pid()); end $$;"
             " grant execute on function postern.list_rest(bigint, bigint, bigint, bytea) to postern_mail");
    wait_for_lanes(store, (size_t)test_settings.database_lanes);
    o = open_with(store, mailbox, &test_holder);
    admin_do("drop function postern.list_rest(bigint, bigint, bigint, bytea);"
             " alter function postern.list_rest_really(bigint, bigint, bigint, bytea) rename to list_rest");
    assert_true(o.answered);
    expect_status(o.status, DB_RETRY);
    assert_int_equal(store->held.places.count, 0);
    store_free(&store);
    store = test_store(&test_settings);
    struct drop *drop = must_open(store, mailbox);
    expect_all(drop, mailbox);
    expect_status(finish(drop, NULL), DB_OK);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_listing),
        cmocka_unit_test(lost_while_listing),
        cmocka_unit_test(listing_is_what_is_there),
        cmocka_unit_test(one_holder),
        cmocka_unit_test(never_in_use_after_the_end),
        cmocka_unit_test(gone_and_disabled),
        cmocka_unit_test(cached_login_holds),
        cmocka_unit_test(listing_between_sessions),
        cmocka_unit_test(listing_that_went_back),
        cmocka_unit_test(commit_removes_the_marked),
        cmocka_unit_test(session_is_noted),
        cmocka_unit_test(retrieved_in_any_order),
        cmocka_unit_test(expunge_without_all_columns),
        cmocka_unit_test(sessions_are_noted_together),
        cmocka_unit_test(noted_over_another_lane),
        cmocka_unit_test(removed_by_two),
        cmocka_unit_test(commit_that_fails),
        cmocka_unit_test(asker_leaves),
        cmocka_unit_test(statement_timeout),
        cmocka_unit_test(database_away_or_not_ours),
    };
    if (without_database("drop"))
        return 0;
    return cmocka_run_group_tests_name("drop", tests, database_setup, database_teardown);
}
