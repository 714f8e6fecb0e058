/*
 * Deliveries against a real PostgreSQL: verdicts, the queue for a lane, and the
 * asker or the whole of it leaving in the middle. What a client sees of it is
 * in tests/lmtp.
 */
#include "tests/unit/db_fixture.h"

#include "storage/deliver/deliver.h"
#include "storage/deliver/spool.h"

static struct spool_space *space, *on_disk;
static bool memory_is_short;    /* what is sent lies in a file, be it ever so small */
static char address[3][80];
static int64_t box[3];
static struct mailbox_ref ref[3];   /* to them */

static struct deliver *deliver_to(const char *words, int64_t lanes)
{
    struct storage_settings settings = test_settings;
    char *error = NULL, *conninfo = conninfo_merge(getenv("POSTERN_TEST_DB"), words, "t", &error);

    assert_non_null(conninfo);
    settings.database_lmtp_lanes = lanes;
    struct deliver *d = deliver_new(loop, &settings, conninfo, wrong_schema, NULL);
    mem_free(conninfo);
    return d;
}

static struct deliver *deliver_with(int64_t lanes)
{
    return deliver_to("user=postern_lmtp", lanes);
}

static void wait_up(struct deliver *d, size_t lanes)
{
    for (int i = 0; i < 2000 && deliver_lanes_up(d) != lanes; i++)
        turn_for(5);
    assert_int_equal(deliver_lanes_up(d), lanes);
}

static struct spool *message(size_t octets)
{
    struct spool *spool = spool_new(memory_is_short ? on_disk : space);
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
    struct mailbox_ref mailbox;
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
        r[i] = (struct delivery_recipient){ .address = address[first + i], .mailboxes = &ref[first + i], .count = 1 };
    *o = (struct outcome){ .order = 0 };
    struct deliver_job *job = deliver_message(d, &spool, r, count, &(struct delivery_terms){ .window = 0 }, delivered, o);
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
    on_disk = spool_space_new("/tmp", 0, 1 << 30);
    for (int i = 0; i < 3; i++) {
        box[i] = ref[i].number = mailbox_new();
        PGresult *res = PQexec(admin, "select address from postern.mailbox order by mailbox desc limit 1");
        snprintf(address[i], sizeof address[i], "%s", PQgetvalue(res, 0, 0));
        PQclear(res);
    }
    return 0;
}

static int drop_mailboxes(void **state)
{
    spool_space_free(&space);
    spool_space_free(&on_disk);
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
    assert_int_equal(o.mailbox.number, box[2]);
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

/* ---- several at once */

/* Asked for in one turn, they are one question and one commit; each has what it would have alone. */
static void test_group(void **state)
{
    struct deliver *d = deliver_with(2);
    struct outcome o[5], who[4];
    int64_t before = messages_in(box[0]), first;
    struct resolve_question q[2] = { { address[0], NULL }, { "nobody@nowhere.test", NULL } };

    (void)state;
    wait_up(d, 2);
    for (int i = 0; i < 4; i++) {
        who[i] = (struct outcome){ 0 };
        deliver_resolve(d, q, i == 2 ? 2 : 1, (uint64_t)i, NULL, resolved, &who[i]);
    }
    for (int i = 0; i < 4; i++) {
        wait_for(&who[i]);
        assert_int_equal(who[i].status, DB_OK);
        assert_int_equal(who[i].rows, i == 2 ? 2 : 1);
        assert_int_equal(who[i].verdict[0], i == 2 ? RECIPIENT_NO_DOMAIN : RECIPIENT_OK);
    }
    assert_int_equal(deliver_statements(d), 1);

    for (int i = 0; i < 5; i++)
        send_to(d, 9000 + (size_t)i, 0, i == 3 ? 3 : 1, &o[i]);
    for (int i = 0; i < 5; i++)
        wait_for(&o[i]);
    assert_int_equal(deliver_statements(d), 2);
    first = o[0].uid[0];
    for (int i = 0; i < 5; i++) {
        assert_int_equal(o[i].status, DB_OK);
        assert_int_equal(o[i].verdict[0], RECIPIENT_OK);
        assert_int_equal(o[i].uid[0], first + i);
        assert_int_equal(admin_number("select sum(length(p.data)) from postern.content_part p join postern.message m using (content)"
                                      " where m.mailbox = %lld and m.uid = %lld", (long long)box[0], (long long)o[i].uid[0]), 9000 + i);
    }
    assert_int_equal(o[3].verdict[2], RECIPIENT_OK);
    assert_int_equal(messages_in(box[0]), before + 5);
    assert_int_equal(admin_number("select count(distinct xmin::text) from postern.message where mailbox = %lld and uid >= %lld",
                                  (long long)box[0], (long long)first), 1);
    deliver_free(&d);
}

/* One cannot be stored: only its sender hears of it. */
static void test_bad_apple(void **state)
{
    struct deliver *d = deliver_with(2);
    struct outcome o[4];
    int64_t before = messages_in(box[0]);

    (void)state;
    wait_up(d, 2);
    admin_do("create function public.refuse_4242() returns trigger language plpgsql as"
             " $$ begin raise exception 'not this one' using errcode = '22000'; end $$");
    admin_do("create trigger refuse_4242 before insert on postern.content for each row when (new.octets = 4242)"
             " execute function public.refuse_4242()");
    for (int i = 0; i < 4; i++)
        send_to(d, i == 1 ? 4242 : 4000, 0, 1, &o[i]);
    for (int i = 0; i < 4; i++) {
        wait_for(&o[i]);
        assert_int_equal(o[i].status, i == 1 ? DB_BUG : DB_OK);
    }
    assert_int_equal(deliver_statements(d), 5);
    assert_int_equal(messages_in(box[0]), before + 3);
    admin_do("drop function public.refuse_4242() cascade");
    deliver_free(&d);
}

/* A mailbox that somebody holds keeps its own messages waiting, and nobody else. */
static void test_held_mailbox(void **state)
{
    struct deliver *d = deliver_with(3);
    struct outcome o[5], large;
    int64_t before[2] = { messages_in(box[0]), messages_in(box[1]) };

    (void)state;
    wait_up(d, 3);
    admin_do("begin");
    admin_do("select from postern.mailbox where mailbox = %lld for no key update", (long long)box[0]);
    for (int i = 0; i < 4; i++)
        send_to(d, 500, i == 2 ? 0 : 1, 1, &o[i]);
    for (int i = 0; i < 4; i++)
        if (i != 2)
            wait_for(&o[i]);
    send_to(d, 1000000, 1, 1, &large);
    send_to(d, 500, 1, 1, &o[4]);
    wait_for(&large);
    wait_for(&o[4]);
    assert_int_equal(o[2].order, 0);
    assert_int_equal(messages_in(box[1]), before[1] + 5);
    admin_do("commit");
    wait_for(&o[2]);
    assert_int_equal(o[2].status, DB_OK);
    assert_int_equal(messages_in(box[0]), before[0] + 1);
    deliver_free(&d);
}

/* Large ones begin and end among groups, and none of those lands in their transaction. */
static void test_large_among_groups(void **state)
{
    enum { ALL = 40 };
    struct deliver *d = deliver_with(2);
    struct outcome o[ALL];
    int64_t before = messages_in(box[0]);

    (void)state;
    wait_up(d, 2);
    for (int i = 0; i < ALL; i++) {
        send_to(d, i % 8 == 3 ? 400000 : 700, 0, 1, &o[i]);
        if (i % 3 == 0)
            turn_for(1);
    }
    for (int i = 0; i < ALL; i++) {
        wait_for(&o[i]);
        assert_int_equal(o[i].status, DB_OK);
    }
    assert_int_equal(messages_in(box[0]), before + ALL);
    assert_int_equal(admin_number("select max(n) from (select count(*) as n from postern.message m join postern.content c using (content)"
                                  " where m.mailbox = %lld group by m.xmin having max(c.octets) = 400000) x", (long long)box[0]), 1);
    deliver_free(&d);
}

/* The connection is lost while a group is under way: nobody is told that it was stored, and it was not. */
static void test_group_is_lost(void **state)
{
    struct deliver *d = deliver_with(1);
    struct outcome o[6];
    int64_t before = messages_in(box[0]);

    (void)state;
    wait_up(d, 1);
    admin_do("create function public.nap() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$");
    admin_do("create trigger nap after insert on postern.message for each statement execute function public.nap()");
    for (int i = 0; i < 4; i++)
        send_to(d, 700, 0, 1, &o[i]);
    for (int i = 0; i < 2000 && admin_number("select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
                                            " and datname = current_database()") == 0; i++)
        turn_for(5);
    for (int i = 4; i < 6; i++)     /* these gather behind it */
        send_to(d, 700, 0, 1, &o[i]);
    admin_do("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postern_lmtp' and datname = current_database()");
    for (int i = 0; i < 6; i++) {
        wait_for(&o[i]);
        assert_int_equal(o[i].status, DB_LOST);
    }
    admin_do("drop function public.nap() cascade");
    assert_int_equal(messages_in(box[0]), before);
    wait_up(d, 1);
    send_to(d, 700, 0, 1, &o[0]);
    wait_for(&o[0]);
    assert_int_equal(o[0].status, DB_OK);
    deliver_free(&d);
}

/* ---- messages that cannot be read back */

/* The files of spools lose their ends, as on a damaged file system. */
static void cut_files(off_t octets)
{
    char name[64], target[200];
    int cut = 0;

    for (int fd = 3; fd < 200; fd++) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strncmp(target, "/tmp/", 5) == 0 && strstr(target, "(deleted)") != NULL)
            cut += ftruncate(fd, octets) == 0;
    }
    assert_true(cut > 0);
}

/* Memory was short when it came: it is stored all the same. */
static void test_small_in_a_file(void **state)
{
    struct deliver *d = deliver_with(1);
    struct outcome o;

    (void)state;
    memory_is_short = true;
    send_to(d, 20000, 0, 1, &o);
    memory_is_short = false;
    wait_for(&o);
    assert_int_equal(o.status, DB_OK);
    assert_int_equal(admin_number("select sum(length(p.data)) from postern.content_part p join postern.message m using (content)"
                                  " where m.mailbox = %lld and m.uid = %lld", (long long)box[0], (long long)o.uid[0]), 20000);
    assert_int_equal(spool_space_disk(on_disk), 0);
    deliver_free(&d);
}

/* A message whose file was cut is not stored, no part of it; and the lane serves the next one. */
static void test_cut_message(void **state)
{
    /* Sizes of which nothing is left in the spool's buffer, from where it would come behind the cut. */
    static const struct { size_t octets; off_t cut; } cases[] = { { 32768, 10000 }, { 30 * 32768, 0 }, { 30 * 32768, 300000 } };
    struct deliver *d = deliver_with(1);
    int64_t contents = admin_number("select count(*) from postern.content");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o;
        int64_t before = messages_in(box[0]);

        /* The small one is read when a lane is up, which is not yet; of large ones nothing before the first answers. */
        assert_int_equal(deliver_lanes_up(d), i == 0 ? 0 : 1);
        memory_is_short = true;
        send_to(d, cases[i].octets, 0, 1, &o);
        memory_is_short = false;
        cut_files(cases[i].cut);
        wait_for(&o);
        assert_int_equal(o.status, DB_RETRY);
        assert_int_equal(messages_in(box[0]), before);
        send_to(d, 100, 0, 1, &o);
        wait_for(&o);
        assert_int_equal(o.status, DB_OK);
        assert_int_equal(messages_in(box[0]), before + 1);
    }
    assert_int_equal(spool_space_disk(on_disk), 0);
    assert_int_equal(admin_number("select count(*) from postern.content"), contents + 3);
    deliver_free(&d);
}

/* ---- a database that is not as it should be */

/* Mail to the postmaster of a domain without one is for the mailbox that the operator has named. */
static void test_postmaster(void **state)
{
    struct deliver *d = deliver_with(1);
    struct resolve_question q = { "postmaster", NULL };
    struct outcome o = { 0 };

    (void)state;
    deliver_resolve(d, &q, 1, 0, address[1], resolved, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_OK);
    assert_int_equal(o.rows, 1);
    assert_int_equal(o.verdict[0], RECIPIENT_OK);
    assert_int_equal(o.mailbox.number, box[1]);
    deliver_free(&d);
}

/* A function of the schema is another one for a while. */
static void replace(const char *name, const char *args, const char *definition)
{
    admin_do("alter function postern.%s(%s) rename to away", name, args);
    admin_do("create function postern.%s(%s%s", name, args, definition);
    admin_do("grant execute on function postern.%s(%s) to postern_lmtp", name, args);
}

static void restore(const char *name, const char *args)
{
    admin_do("drop function postern.%s(%s)", name, args);
    admin_do("alter function postern.away(%s) rename to %s", args, name);
}

/* A provider's own resolve() that answers what makes no sense: nobody is told a wrong mailbox. */
static void test_own_resolve(void **state)
{
    static const char args[] = "text[], text[], bigint, text";
    static const char *const rows[] = {
        "(1, 0, null::bigint), (2, 1, null)", "(1, 0, 1::bigint)", "(2, 0, 1::bigint), (1, 0, 1)",
        "(1, 0, 1::bigint), (2, 0, 1), (3, 0, 1)",
        "(0, 0, 1::bigint), (1, 0, 1), (2, 0, 1)", "(1, 0, 1::bigint), (2, 6, 1)", "(1, 0, 1::bigint), (2, -1, 1)",
        "(1, null::integer, 1::bigint), (2, 1, null)", "(null::integer, 0, 1::bigint), (2, 1, null)",
    };
    struct deliver *d = deliver_with(1);
    struct resolve_question q[] = { { address[0], NULL }, { address[1], NULL } };
    struct outcome o = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char definition[300];
        snprintf(definition, sizeof definition, ") returns table (n integer, verdict integer, mailbox bigint)"
                 " language sql as $$ values %s $$", rows[i]);
        replace("resolve", args, definition);
        o = (struct outcome){ 0 };
        deliver_resolve(d, q, 2, 0, NULL, resolved, &o);
        wait_for(&o);
        restore("resolve", args);
        if (o.status != DB_BUG || o.rows != 0)
            fail_msg("%s: %s", rows[i], db_status_name(o.status));
    }
    o = (struct outcome){ 0 };
    deliver_resolve(d, q, 2, 0, NULL, resolved, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_OK);
    deliver_free(&d);
}

static void answer_makes_no_sense(struct deliver *d, const char *verdicts, const char *losses, size_t octets)
{
    static const char args[] = "bigint, bytea, bytea, bigint, bigint[], bigint[], text[], bytea[], bigint, boolean, text";
    char definition[600];
    struct outcome o;

    snprintf(definition, sizeof definition, ", out stored bigint, out verdicts bigint[], out uids bigint[], out lost_for bigint[],"
             " out lost bigint[], out lost_addresses text[], out lost_why bigint[]) language sql as $$ select %s, %s $$", verdicts, losses);
    replace("deliver", args, definition);
    send_to(d, octets, 0, 2, &o);
    wait_for(&o);
    restore("deliver", args);
    if (o.status != DB_BUG)
        fail_msg("%s, %s: %s", verdicts, losses, db_status_name(o.status));
}

/* Verdicts that make no sense are no success: the sender keeps the message, and a large one leaves nothing behind. */
static void test_other_verdicts(void **state)
{
    static const char *const answers[] = {
        "2::bigint, '{0,null}'::bigint[], '{1,1}'::bigint[]", "2::bigint, '{0,7}'::bigint[], '{1,1}'::bigint[]",
        "2::bigint, '{0,-1}'::bigint[], '{1,1}'::bigint[]", "2::bigint, '{0}'::bigint[], '{1,1}'::bigint[]",
        "2::bigint, '{0,0}'::bigint[], '{1}'::bigint[]", "2::bigint, '{0,0}'::bigint[], null::bigint[]",
        "2::bigint, null::bigint[], '{1,1}'::bigint[]", "null::bigint, '{0,0}'::bigint[], '{1,1}'::bigint[]",
        "2::bigint, '{{0,0}}'::bigint[], '{1,1}'::bigint[]", "2::bigint, '{0,0}'::bigint[], '{{1,1}}'::bigint[]",
    };
    /* What members of lists lost: recipient, mailbox, address, reason. */
    static const char *const losses[] = {
        "'{0}'::bigint[], '{1}'::bigint[], '{a}'::text[], '{4}'::bigint[]", "'{3}'::bigint[], '{1}'::bigint[], '{a}'::text[], '{4}'::bigint[]",
        "'{1}'::bigint[], '{1,2}'::bigint[], '{a}'::text[], '{4}'::bigint[]", "'{1}'::bigint[], '{1}'::bigint[], '{a}'::text[], '{6}'::bigint[]",
        "'{1}'::bigint[], '{1}'::bigint[], '{a}'::text[], '{0}'::bigint[]", "'{1}'::bigint[], '{null}'::bigint[], '{a}'::text[], '{4}'::bigint[]",
        "'{1}'::bigint[], null::bigint[], '{a}'::text[], '{4}'::bigint[]", "'{1,1}'::bigint[], '{1,2}'::bigint[], '{null,a}'::text[], '{1,9}'::bigint[]",
    };
    static const char none[] = "null::bigint[], null::bigint[], null::text[], null::bigint[]";
    struct deliver *d = deliver_with(1);
    struct outcome o;
    int64_t contents = admin_number("select count(*) from postern.content");

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        answer_makes_no_sense(d, answers[i], none, i % 2 == 0 ? 100 : SPOOL_MEMORY + 1);
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++)
        answer_makes_no_sense(d, "2::bigint, '{0,0}'::bigint[], '{1,1}'::bigint[]", losses[i], i % 2 == 0 ? 100 : SPOOL_MEMORY + 1);
    assert_int_equal(admin_number("select count(*) from postern.content"), contents);
    send_to(d, SPOOL_MEMORY + 1, 0, 2, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_OK);
    deliver_free(&d);
}

/* No schema of ours: an operator has to look, and each sender keeps what he has. */
static void test_wrong_schema(void **state)
{
    struct deliver *d = deliver_to("user=postern_lmtp dbname=template1", 2);
    struct resolve_question q = { address[0], NULL };
    struct outcome o = { 0 };

    (void)state;
    for (int i = 0; i < 2000 && wrong_schema_text == NULL; i++)
        turn_for(5);
    assert_non_null(strstr(wrong_schema_text, "posternctl schema init"));
    deliver_resolve(d, &q, 1, 0, NULL, resolved, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_BUG);
    send_to(d, 1000000, 0, 1, &o);
    wait_for(&o);
    assert_int_equal(o.status, DB_BUG);
    assert_int_equal(deliver_lanes_up(d), 0);
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
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_bad_apple),
        cmocka_unit_test(test_held_mailbox),
        cmocka_unit_test(test_large_among_groups),
        cmocka_unit_test(test_group_is_lost),
        cmocka_unit_test(test_no_database),
        cmocka_unit_test(test_small_in_a_file),
        cmocka_unit_test(test_cut_message),
        cmocka_unit_test(test_postmaster),
        cmocka_unit_test(test_own_resolve),
        cmocka_unit_test(test_other_verdicts),
        cmocka_unit_test(test_wrong_schema),
    };
    if (without_database("deliver"))
        return 0;
    return cmocka_run_group_tests_name("deliver", tests, make_mailboxes, drop_mailboxes);
}
