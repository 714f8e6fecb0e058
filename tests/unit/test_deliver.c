/*
 * Deliveries against a real PostgreSQL: verdicts, the queue for a lane, and the
 * asker or the whole of it leaving in the middle. What a client sees of it is
 * in tests/lmtp.
 */
#include "tests/unit/db_fixture.h"

#include "storage/deliver.h"
#include "storage/spool.h"

static struct spool_space *space;
static char address[3][80];
static int64_t box[3];

static struct deliver *deliver_with(int64_t lanes)
{
    struct storage_settings settings = test_settings;
    char *error = NULL, *conninfo = conninfo_merge(getenv("POSTERN_TEST_DB"), "user=postern_lmtp", "t", &error);

    assert_non_null(conninfo);
    settings.database_lmtp_lanes = lanes;
    struct deliver *d = deliver_new(loop, &settings, conninfo, wrong_schema, NULL);
    mem_free(conninfo);
    return d;
}

static void wait_up(struct deliver *d, size_t lanes)
{
    for (int i = 0; i < 2000 && deliver_lanes_up(d) != lanes; i++)
        turn_for(5);
    assert_int_equal(deliver_lanes_up(d), lanes);
}

static struct spool *message(size_t octets)
{
    struct spool *spool = spool_new(space);
    char *body = body_new((unsigned)octets, octets);
    assert_true(spool_add(spool, (struct span){ body, octets }));
    mem_free(body);
    return spool;
}

/* What one job ended with, and after how many others. */
static unsigned ended;
struct outcome {
    unsigned order;
    enum db_status status;
    enum recipient_verdict verdict[3];
    int64_t uid[3];
    size_t rows;
    int64_t mailbox;
};

static void delivered(void *owner, const struct delivery_result *result)
{
    struct outcome *o = owner;

    *o = (struct outcome){ .order = ++ended, .status = result->status };
    assert_true((result->recipients != NULL) == (result->status == DB_OK));
    for (size_t i = 0; result->status == DB_OK && i < result->count && i < 3; i++) {
        o->verdict[i] = result->recipients[i].verdict;
        o->uid[i] = result->recipients[i].uid;
    }
    loop_stop(loop);
}

static void resolved(void *owner, enum db_status status, const struct resolved *rows, size_t count)
{
    *(struct outcome *)owner = (struct outcome){ .order = ++ended, .status = status, .rows = count };
    if (count > 0) {
        ((struct outcome *)owner)->verdict[0] = rows[count - 1].verdict;
        ((struct outcome *)owner)->mailbox = rows[count - 1].mailbox;
    }
    loop_stop(loop);
}

static struct deliver_job *send_to(struct deliver *d, size_t octets, size_t first, size_t count, struct outcome *o)
{
    struct delivery_recipient r[3];
    struct spool *spool = message(octets);

    for (size_t i = 0; i < count; i++)
        r[i] = (struct delivery_recipient){ .address = address[first + i], .mailboxes = &box[first + i], .count = 1 };
    *o = (struct outcome){ .order = 0 };
    struct deliver_job *job = deliver_message(d, &spool, r, count, 0, delivered, o);
    assert_null(spool);
    return job;
}

static void wait_for(const struct outcome *o)
{
    while (o->order == 0)
        wait_for_answer();
}

static int make_mailboxes(void **state)
{
    if (database_setup(state) != 0)
        return -1;
    space = spool_space_new("/tmp", 64 << 20, 1 << 30);
    for (int i = 0; i < 3; i++) {
        box[i] = mailbox_new();
        PGresult *res = PQexec(admin, "select address from postern.mailbox order by mailbox desc limit 1");
        snprintf(address[i], sizeof address[i], "%s", PQgetvalue(res, 0, 0));
        PQclear(res);
    }
    return 0;
}

static int drop_mailboxes(void **state)
{
    spool_space_free(&space);
    return database_teardown(state);
}

static void test_resolve(void **state)
{
    struct deliver *d = deliver_with(2);
    struct outcome o = { 0 };
    struct resolve_question q[] = { { address[0], NULL }, { "nobody@nowhere.test", NULL }, { address[2], NULL } };

    (void)state;
    /* Asked before the first lane is up: it waits for one. */
    deliver_resolve(d, q, 3, 0, NULL, resolved, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_OK);
    assert_int_equal(o.rows, 3);
    assert_int_equal(o.verdict[0], RECIPIENT_OK);
    assert_int_equal(o.mailbox, box[2]);
    assert_int_equal(deliver_statements(d), 1);
    deliver_free(&d);
    assert_null(d);
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = { 0, 1, 8000, SPOOL_MEMORY, SPOOL_MEMORY + 1, 1000000 };
    struct deliver *d = deliver_with(2);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct outcome o;
        send_to(d, sizes[i], 0, 3, &o);
        wait_for(&o);
        assert_int_equal(o.status, DB_OK);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(o.verdict[k], RECIPIENT_OK);
            assert_int_equal(o.uid[k], i + 1);
        }
        assert_int_equal(admin_number("select c.octets from postern.content c join postern.message m using (content)"
                                      " where m.mailbox = %lld order by m.uid desc limit 1", (long long)box[0]), sizes[i]);
        assert_int_equal(admin_number("select coalesce(sum(length(p.data)), 0) from postern.content_part p join postern.message m"
                                      " using (content) where m.mailbox = %lld and m.uid = %zu", (long long)box[0], i + 1), sizes[i]);
        assert_int_equal(admin_number("select refs from postern.content c join postern.message m using (content)"
                                      " where m.mailbox = %lld order by m.uid desc limit 1", (long long)box[0]), 3);
    }
    assert_int_equal(spool_space_memory(space), 0);
    deliver_free(&d);
}

/* A large message has the only lane for itself: what comes behind it waits, and never lands in its transaction. */
static void test_one_lane(void **state)
{
    struct deliver *d = deliver_with(1);
    struct outcome large, small[5], last;
    int64_t before = messages_in(box[1]);

    (void)state;
    wait_up(d, 1);
    send_to(d, 2000000, 0, 1, &large);
    for (int i = 0; i < 5; i++)
        send_to(d, 100, 1, 1, &small[i]);
    send_to(d, 2000000, 2, 1, &last);
    wait_for(&large);
    for (int i = 0; i < 5; i++)
        wait_for(&small[i]);
    wait_for(&last);
    assert_true(large.order < small[0].order && small[4].order < last.order);
    assert_int_equal(large.status, DB_OK);
    assert_int_equal(small[4].status, DB_OK);
    assert_int_equal(last.status, DB_OK);
    assert_int_equal(messages_in(box[1]), before + 5);
    deliver_free(&d);
}

/* With several, large ones leave a lane to the others. */
static void test_large_ones_leave_a_lane(void **state)
{
    struct deliver *d = deliver_with(2);
    struct outcome large[4], small;

    (void)state;
    wait_up(d, 2);
    for (int i = 0; i < 4; i++)
        send_to(d, 3000000, 0, 1, &large[i]);
    send_to(d, 100, 1, 1, &small);
    wait_for(&small);
    assert_int_equal(large[1].order, 0);
    for (int i = 0; i < 4; i++) {
        wait_for(&large[i]);
        assert_int_equal(large[i].status, DB_OK);
    }
    deliver_free(&d);
}

/* The asker leaves: the job goes on, and nobody is told. */
static void test_forget(void **state)
{
    struct deliver *d = deliver_with(2);
    struct outcome forgotten[2], o;
    int64_t before = messages_in(box[0]);

    (void)state;
    wait_up(d, 2);
    deliver_forget(send_to(d, 100, 0, 1, &forgotten[0]));
    deliver_forget(send_to(d, 1000000, 0, 1, &forgotten[1]));
    for (int i = 0; i < 1000 && messages_in(box[0]) < before + 2; i++)
        turn_for(5);
    assert_int_equal(messages_in(box[0]), before + 2);
    send_to(d, 100, 1, 1, &o);
    wait_for(&o);
    assert_int_equal(forgotten[0].order + forgotten[1].order, 0);
    deliver_free(&d);
}

/* A backend finishes what it is at before it sees that nobody is there any more: it may yet store that. */
static void wait_backends_gone(void)
{
    int64_t left = 1;

    for (int i = 0; i < 2000 && left > 0; i++) {
        turn_for(5);
        left = admin_number("select count(*) from pg_stat_activity where usename = 'postern_lmtp' and datname = current_database()");
    }
    assert_int_equal(left, 0);
}

/* All of it ends while jobs are under way and in the queue: each is told once, none says that it was stored. */
static void test_free_in_the_middle(void **state)
{
    struct outcome large[3], small, waiting;
    struct deliver *d = deliver_with(1);
    struct resolve_question q = { address[0], NULL };

    (void)state;
    waiting = (struct outcome){ 0 };
    deliver_resolve(d, &q, 1, 0, NULL, resolved, &waiting);
    deliver_free(&d);
    assert_true(waiting.order > 0);
    assert_int_not_equal(waiting.status, DB_OK);

    d = deliver_with(1);
    wait_up(d, 1);
    for (int i = 0; i < 3; i++)
        send_to(d, 5000000, 0, 1, &large[i]);
    send_to(d, 100, 1, 1, &small);
    turn_for(20);
    deliver_free(&d);
    for (int i = 0; i < 3; i++) {
        assert_true(large[i].order > 0);
        assert_int_not_equal(large[i].status, DB_OK);
    }
    assert_int_not_equal(small.status, DB_OK);
    assert_int_equal(spool_space_memory(space), 0);
    assert_int_equal(spool_space_disk(space), 0);
    wait_backends_gone();
}

static void test_lane_is_lost(void **state)
{
    struct deliver *d = deliver_with(2);
    struct outcome large, o;
    int64_t before = messages_in(box[0]);

    (void)state;
    wait_up(d, 2);
    send_to(d, 20000000, 0, 1, &large);
    turn_for(20);
    admin_do("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_lmtp' and datname = current_database()");
    wait_for(&large);
    assert_int_equal(large.status, DB_LOST);
    assert_int_equal(messages_in(box[0]), before);
    wait_up(d, 2);
    send_to(d, 1000000, 0, 1, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_OK);
    assert_int_equal(messages_in(box[0]), before + 1);
    deliver_free(&d);
}

static void test_no_database(void **state)
{
    struct storage_settings settings = test_settings;
    struct resolve_question q = { address[0], NULL };
    struct outcome o = { 0 };

    (void)state;
    settings.database_lmtp_lanes = 2;
    struct deliver *d = deliver_new(loop, &settings, "host=/nonexistent", wrong_schema, NULL);
    deliver_resolve(d, &q, 1, 0, NULL, resolved, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_RETRY);
    send_to(d, 100, 0, 1, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_RETRY);
    deliver_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_one_lane),
        cmocka_unit_test(test_large_ones_leave_a_lane),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_free_in_the_middle),
        cmocka_unit_test(test_lane_is_lost),
        cmocka_unit_test(test_no_database),
    };
    if (without_database("deliver"))
        return 0;
    return cmocka_run_group_tests_name("deliver", tests, make_mailboxes, drop_mailboxes);
}
