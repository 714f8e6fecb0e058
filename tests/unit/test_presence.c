/*
 * Who holds what: the operator's question and the workers' answers.
 */
#include "tests/unit/db_fixture.h"

#include <sodium.h>

#include "storage/maildrop/drop_impl.h"

static const char channel[] = "postern_reply_0123456789abcdef";

/* Answers that came, which the channel tells of and the database keeps, one behind the other; how many in *count_r. */
static void collect(struct buf *out, size_t *count_r)
{
    PGnotify *n;
    int kept = 0;

    *count_r = 0;
    for (int i = 0; i < 100; i++) {
        turn_for(5);
        PQconsumeInput(admin);
        while ((n = PQnotifies(admin)) != NULL) {
            assert_string_equal(n->relname, channel);
            if (strcmp(n->extra, "answered") == 0) {
                kept++;
            } else {
                buf_add_str(out, n->extra);
                buf_add(out, "\n", 1);
            }
            ++*count_r;
            PQfreemem(n);
        }
    }
    PGresult *res = PQexec(admin, "delete from postern.answer returning answer");
    assert_int_equal(PQntuples(res), kept);
    for (int i = 0; i < PQntuples(res); i++) {
        assert_true(PQgetlength(res, i, 0) <= 7000);
        buf_add_str(out, PQgetvalue(res, i, 0));
        buf_add(out, "\n", 1);
    }
    PQclear(res);
}

static void every_session_is_told_once(void **state)
{
    struct store *store = test_store(&test_settings), *idle = test_store(&test_settings);
    const struct drop_holder odd = { .session = "s\"1\\", .peer = "[2001:db8::1]:110", .protocol = "pop3", .since = 1700000000 };
    struct opened o = { 0 };
    struct buf out = BUF_EMPTY;
    size_t count;
    char words[200];

    (void)state;
    wait_for_lanes(store, 2);
    wait_for_lanes(idle, 2);
    struct drop *a = must_open(store, mailbox_new());
    int64_t second = mailbox_new();
    open_for(store, second, &odd, opened, &o);
    while (!o.answered)
        wait_for_answer();
    unsigned long long before = store_statements(store);
    admin_do("listen %s", channel);
    admin_do("select postern.ask_who('%s')", channel);
    collect(&out, &count);
    assert_int_equal(count, 1);     /* both lanes of a store, one answer; who holds nothing is silent */
    /* PostgreSQL reads the JSON for us. */
    char *quoted = PQescapeLiteral(admin, out.data, strlen(out.data));
    char sql[3000];
    snprintf(sql, sizeof sql, "select count(*) from jsonb_to_recordset(%s) as s(mailbox bigint, session text, peer text, protocol text,"
             " since bigint, host text, pid int, lane_pid int) join postern.held_maildrops() h"
             " on h.mailbox = s.mailbox and h.pid = s.lane_pid and h.application_name = 'postern test'"
             " where protocol = 'pop3' and since = 1700000000 and length(host) > 0 and s.pid = %ld"
             " and (s.mailbox <> %lld or session = 's\"1\\' and peer = '[2001:db8::1]:110')", quoted, (long)getpid(), (long long)second);
    PQfreemem(quoted);
    assert_int_equal(admin_number("%s", sql), 2);
    assert_true(store_statements(store) == before);     /* not the sessions' work */
    admin_do("unlisten *");
    snprintf(words, sizeof words, "select count(*) from postern.held_maildrops() where mailbox = %lld", (long long)second);
    assert_int_equal(admin_number("%s", words), 1);
    assert_string_equal(db_status_name(finish(a, NULL)), "ok");
    assert_string_equal(db_status_name(finish(o.drop, NULL)), "ok");
    assert_int_equal(admin_number("%s", words), 0);
    buf_free(&out);
    store_free(&store);
    store_free(&idle);
}

/* Many sessions are many answers, none too long for a notification; and after the loss of the lane that listened too. */
static void many_sessions(void **state)
{
    enum { N = 150 };
    struct store *store = test_store(&test_settings);
    struct drop *drops[N];
    struct buf out = BUF_EMPTY;
    size_t count, found = 0;

    (void)state;
    wait_for_lanes(store, 2);
    for (int lane = 0; lane < 2; lane++) {  /* whichever listened */
        admin_do("select pg_terminate_backend(pid) from (select pid from pg_stat_activity where usename = 'postern_mail'"
                 " and application_name = 'postern test' and datname = current_database() order by backend_start limit 1) oldest");
        for (int i = 0; i < 1000 && store_lanes_up(store) == 2; i++)
            turn_for(2);
        wait_for_lanes(store, 2);
    }
    for (int i = 0; i < N; i++)
        drops[i] = must_open(store, mailbox_new());
    admin_do("listen %s", channel);
    admin_do("select postern.ask_who('%s')", channel);
    collect(&out, &count);
    admin_do("unlisten *");
    assert_in_range(count, 3, 8);
    for (const char *p = out.data; (p = strstr(p, "\"mailbox\":")) != NULL; p++)
        found++;
    assert_int_equal(found, N);
    for (int i = 0; i < N; i++)
        assert_string_equal(db_status_name(finish(drops[i], NULL)), "ok");
    buf_free(&out);
    store_free(&store);
}

/* Whoever may connect can ask, and each answer is work for all sessions. */
static void asked_without_pause(void **state)
{
    struct store *store = test_store(&test_settings);

    (void)state;
    struct drop *d = must_open(store, mailbox_new());
    /* The same question twice in a transaction is sent once. */
    admin_do("select postern.ask_who('postern_reply_' || lpad(to_hex(n), 16, '0')) from generate_series(1, 200) n");
    for (int i = 0; i < 100; i++)
        turn_for(5);
    assert_in_range(admin_number("with gone as (delete from postern.answer returning 1) select count(*) from gone"), 1, 100);
    assert_string_equal(db_status_name(finish(d, NULL)), "ok");
    store_free(&store);
}

/* Anybody who may connect can notify: what is not a reply channel is not used as one. */
static void only_reply_channels(void **state)
{
    static const char *const bad[] = { "", "x", "postern_ripley_0123456789abcde",
                                       "postern_who", "postern_reply_0123456789ABCDEF", "postern_reply_0123456789abcdef0",
                                       "postern_reply_0123456789abcde", "postern_reply_0123456789abcdef\"; drop" };
    struct store *store = test_store(&test_settings);
    struct buf out = BUF_EMPTY;
    size_t count;

    (void)state;
    struct drop *d = must_open(store, mailbox_new());
    admin_do("listen %s", channel);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        admin_do("select pg_notify('postern_ask', 'who %s')", bad[i]);
        char sql[200];
        snprintf(sql, sizeof sql, "select postern.ask_who('%s')", bad[i]);
        PGresult *res = PQexec(admin, sql);
        assert_string_equal(PQresultErrorField(res, PG_DIAG_SQLSTATE), "PN400");
        PQclear(res);
    }
    collect(&out, &count);
    assert_int_equal(count, 0);
    admin_do("unlisten *");
    assert_string_equal(db_status_name(finish(d, NULL)), "ok");
    buf_free(&out);
    store_free(&store);
}

/* A client names itself as it likes: whatever it says is a text in the JSON, and nothing else. */
static void odd_texts(void **state)
{
    struct store *store = test_store(&test_settings);
    const struct drop_holder odd = { .session = "a\tb\x1f", .peer = "\xff~\x7f", .protocol = "pop3", .since = 1700000000 };
    struct buf out = BUF_EMPTY;
    size_t count;

    (void)state;
    struct opened o = open_with(store, mailbox_new(), &odd);
    admin_do("listen %s", channel);
    admin_do("select postern.ask_who('%s')", channel);
    collect(&out, &count);
    admin_do("unlisten *");
    assert_int_equal(count, 1);
    assert_non_null(strstr(out.data, "\"session\":\"a\\u0009b\\u001f\""));
    assert_non_null(strstr(out.data, "\"peer\":\"\\ufffd~\\u007f\""));
    assert_string_equal(db_status_name(finish(o.drop, NULL)), "ok");
    buf_free(&out);
    store_free(&store);
}

static unsigned asked_for;

static bool count_asked(void *owner, const char *by, bool ordered)
{
    (void)owner;
    (void)by;
    (void)ordered;
    asked_for++;
    return false;
}

/* Questions and answers that are not ours disturb nobody: not who holds a maildrop, not who waits for one. */
static void not_the_form(void **state)
{
#define REPLY "postern_reply_0123456789abcdef"
    static const char *const bad[] = {
        "release %lld postern_x a", "release x " REPLY " a", "release -%lld " REPLY " a", "release %lld " REPLY, "release %lld  a",
        "release %lld " REPLY " a b", "release %lld " REPLY " 0123456789012345678901234567890123456789012345678",
        "releases %lld " REPLY " a", "order x " REPLY, "order %lld postern_x", "order %lld", "orders %lld " REPLY, "free %lld",
    };
    struct store *store = test_store(&test_settings);
    struct drop_holder holder = test_holder;
    int64_t mailbox = mailbox_new();
    struct buf out = BUF_EMPTY;
    size_t count;

    (void)state;
    holder.asked = count_asked;
    asked_for = 0;
    struct opened o = open_with(store, mailbox, &holder);
    admin_do("listen %s", channel);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *number = strstr(bad[i], "%lld");
        size_t before = number != NULL ? (size_t)(number - bad[i]) : strlen(bad[i]);
        char box[24];
        snprintf(box, sizeof box, "%lld", (long long)mailbox);
        admin_do("select pg_notify('postern_ask', '%.*s%s%s')", (int)before, bad[i], number != NULL ? box : "",
                 number != NULL ? number + 4 : "");
    }
    /* On the channel where it hears answers: it waits for none. */
    const char *replies = pg_reply_channel(store->pg);
    turn_for(50);
    admin_do("select pg_notify('%s', 'free %lld'), pg_notify('%s', 'lost %lld'), pg_notify('%s', 'free x'), pg_notify('%s', 'free')",
             replies, (long long)mailbox, replies, (long long)mailbox, replies, replies);
    collect(&out, &count);
    assert_int_equal(count, 0);
    assert_int_equal(asked_for, 0);
    /* The right one is heard. */
    struct mailbox_ticket ticket = ticket_for(mailbox, &(struct mailbox_versions){ 0, 0 }, 0);
    char hex[2 * MAILBOX_TICKET + 1];
    admin_do("select postern.ask_release(%lld, '%s', 'a', '\\x%s')", (long long)mailbox, channel,
             sodium_bin2hex(hex, sizeof hex, ticket.octets, sizeof ticket.octets));
    collect(&out, &count);
    assert_int_equal(count, 1);
    assert_int_equal(asked_for, 1);
    assert_non_null(strstr(out.data, "busy"));
    admin_do("unlisten *");
    assert_false(drop_lost(o.drop));
    assert_string_equal(db_status_name(finish(o.drop, NULL)), "ok");
    buf_free(&out);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_session_is_told_once),
        cmocka_unit_test(many_sessions),
        cmocka_unit_test(asked_without_pause),
        cmocka_unit_test(only_reply_channels),
        cmocka_unit_test(odd_texts),
        cmocka_unit_test(not_the_form),
    };
    if (without_database("presence"))
        return 0;
    return cmocka_run_group_tests_name("presence", tests, database_setup, database_teardown);
}
