/* db_fixture.c - see db_fixture.h. */
#include "tests/unit/db_fixture.h"

#include <sodium.h>

#include "storage/content/codec.h"
#include "storage/content/run.h"

struct loop *loop;
static int64_t test_domain;

/* ---- mailboxes and messages */

int64_t mailbox_new(void)
{
    static int n;
    return admin_number("insert into postern.mailbox (domain, address) values (%lld, 'm%d@t%ld.test') returning mailbox",
                        (long long)test_domain, ++n, (long)getpid());
}

char *body_new(unsigned seed, size_t len)
{
    char *body = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        body[i] = (char)(seed >> 16);
    }
    return body;
}

void message_add(int64_t mailbox, const char *body, size_t len, const char *delivered_to, const char *uidl)
{
    char box[24], size[24];
    const char *values[] = { box, body, delivered_to, uidl, size };
    const int lengths[] = { 0, (int)len, 0, 0, 0 }, formats[] = { 0, 1, 0, 0, 0 };
    static const Oid types[] = { 20, 17, 25, 25, 20 };

    snprintf(box, sizeof box, "%lld", (long long)mailbox);
    snprintf(size, sizeof size, "%zu", len + (delivered_to != NULL ? strlen(delivered_to) + strlen("Delivered-To: \r\n") : 0));
    PGresult *res = PQexecParams(admin,
        "with c as (insert into postern.content (refs, octets, digest) values (1, length($2), sha256($2)) returning content),"
        " p as (insert into postern.content_part select c.content, n.part, n.data from c, postern.parts_of($2) n),"
        " b as (update postern.mailbox set next_uid = next_uid + 1, messages = messages + 1, octets = octets + $5"
        "        where mailbox = $1 returning next_uid - 1 as uid)"
        " insert into postern.message (mailbox, uid, content, octets, delivered_to, uidl)"
        " select $1, b.uid, c.content, $5, $3, $4 from b, c",
        5, types, values, lengths, formats, 0);
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        fail_msg("message_add: %s", PQerrorMessage(admin));
    PQclear(res);
}

void message_add_coded(int64_t mailbox, const char *body, size_t len, const char *delivered_to)
{
    struct buf room = BUF_EMPTY;
    struct span run = run_of((struct span){ body, len }, CODEC_ZSTD, &room);
    char box[24], size[24], octets[24];
    const char *values[] = { box, run.at, delivered_to, size, octets };
    const int lengths[] = { 0, (int)run.len, 0, 0, 0 }, formats[] = { 0, 1, 0, 0, 0 };
    static const Oid types[] = { 20, 17, 25, 20, 20 };

    snprintf(box, sizeof box, "%lld", (long long)mailbox);
    snprintf(octets, sizeof octets, "%zu", len);
    snprintf(size, sizeof size, "%zu", len + (delivered_to != NULL ? strlen(delivered_to) + strlen("Delivered-To: \r\n") : 0));
    PGresult *res = PQexecParams(admin,
        "with c as materialized (select postern.keep_content(null, 1, $5, sha256($2), $2) as content),"
        " b as (update postern.mailbox set next_uid = next_uid + 1, messages = messages + 1, octets = octets + $4"
        "        where mailbox = $1 returning next_uid - 1 as uid)"
        " insert into postern.message (mailbox, uid, content, octets, delivered_to)"
        " select $1, b.uid, c.content, $4, $3 from b, c",
        5, types, values, lengths, formats, 0);
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        fail_msg("message_add_coded: %s", PQerrorMessage(admin));
    PQclear(res);
    buf_free(&room);
}

void messages_add(int64_t mailbox, unsigned n, size_t len)
{
    char *body = body_new((unsigned)mailbox, len);
    for (unsigned i = 0; i < n; i++)
        message_add(mailbox, body, len, NULL, NULL);
    mem_free(body);
}

int64_t messages_in(int64_t mailbox)
{
    return admin_number("select count(*) from postern.message where mailbox = %lld", (long long)mailbox);
}

/* ---- stores */

char *wrong_schema_text;

void wrong_schema(void *arg, const char *text)
{
    (void)arg;
    mem_free(wrong_schema_text);
    wrong_schema_text = mem_str(text);
}

const struct storage_settings test_settings = {
    .database_lanes = 2, .database_statement_timeout = 30000, .database_retry = 200,
    .listing_cache = 1 << 20, .read_ahead = 256 * 1024, .read_ahead_total = 64 << 20,
};

struct store *store_at(const char *common, const struct storage_settings *settings)
{
    char *error = NULL;
    char *conninfo = conninfo_merge(common, "user=postern_mail", "postern test", &error);
    if (conninfo == NULL)
        print_error("%s\n", error);
    assert_non_null(conninfo);
    struct store *store = store_new(loop, settings, conninfo, wrong_schema, NULL);
    mem_free(conninfo);
    return store;
}

struct store *test_store(const struct storage_settings *settings)
{
    return store_at(getenv("POSTERN_TEST_DB"), settings);
}

/* ---- waiting */

static void gave_up(void *arg)
{
    (void)arg;
    print_error("no answer in 60 s\n");
    abort();
}

void wait_for_answer(void)
{
    struct timer *t = timer_new(loop, gave_up, NULL);
    timer_set(t, 60000);
    loop_run(loop);
    timer_free(&t);
}

static void stop_loop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

void turn_for(uint64_t ms)
{
    struct timer *t = timer_new(loop, stop_loop, NULL);
    timer_set(t, ms);
    wait_for_answer();
    timer_free(&t);
}

void wait_for_lanes(struct store *store, size_t n)
{
    for (int i = 0; i < 2000 && store_lanes_up(store) != n; i++)
        turn_for(5);
    assert_int_equal(store_lanes_up(store), n);
}

void opened(void *owner, enum db_status status, struct drop *drop)
{
    *(struct opened *)owner = (struct opened){ true, status, drop };
    loop_stop(loop);
}

const struct drop_holder test_holder = { .session = "0123abcd", .peer = "192.0.2.1:4242", .protocol = "pop3", .since = 1700000000 };

struct mailbox_ticket ticket_for(int64_t mailbox, const struct mailbox_versions *versions, uint32_t pid)
{
    struct mailbox_ticket ticket;
    char sql[600];
    size_t len = 0;

    snprintf(sql, sizeof sql,
             "with t as (select '\\x01'::bytea || int8send(%lld) || int8send(%lld) || int8send(%lld) || int4send(%ld)"
             " || int8send(postern.now_ms() + 120000) as text)"
             " select encode(t.text || postern.signed(k, t.text), 'hex') from t, postern.ticket_key k order by k.key desc limit 1",
             (long long)mailbox, (long long)versions->proof, (long long)versions->policy, (long)pid);
    PGresult *res = PQexec(admin, sql);
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
        fail_msg("ticket_for: %s", PQerrorMessage(admin));
    assert_int_equal(sodium_hex2bin(ticket.octets, sizeof ticket.octets, PQgetvalue(res, 0, 0), strlen(PQgetvalue(res, 0, 0)), NULL, &len, NULL), 0);
    assert_int_equal(len, MAILBOX_TICKET);
    PQclear(res);
    return ticket;
}

static void lane_is_ready(void *owner)
{
    (void)owner;
    loop_stop(loop);
}

uint64_t open_for(struct store *store, int64_t mailbox, const struct drop_holder *holder, drop_opened *done, void *owner)
{
    struct login_lane *lane = login_lane_new(store, lane_is_ready, NULL);
    struct drop_holder with = *holder;
    uint32_t pid;

    while (!login_lane_pid(lane, &pid))
        wait_for_answer();
    with.ticket = ticket_for(mailbox, &holder->versions, pid);
    return drop_open(store, &lane, BOX(mailbox), &with, done, owner);
}

struct opened open_with(struct store *store, int64_t mailbox, const struct drop_holder *holder)
{
    struct opened o = { 0 };
    assert_true(open_for(store, mailbox, holder, opened, &o) != 0);
    assert_false(o.answered);
    while (!o.answered)
        wait_for_answer();
    assert_true((o.status == DB_OK) == (o.drop != NULL));
    return o;
}

struct opened open_drop(struct store *store, int64_t mailbox)
{
    return open_with(store, mailbox, &test_holder);
}

struct drop *must_open(struct store *store, int64_t mailbox)
{
    struct opened o = open_drop(store, mailbox);
    assert_string_equal(db_status_name(o.status), "ok");
    return o.drop;
}

void finished(void *owner, enum db_status status)
{
    *(struct finished *)owner = (struct finished){ true, status };
    loop_stop(loop);
}

enum db_status finish(struct drop *drop, const unsigned char *marks)
{
    struct finished f = { 0 };
    drop_finish(&drop, marks, finished, &f);
    assert_null(drop);
    assert_false(f.answered);
    while (!f.answered)
        wait_for_answer();
    return f.status;
}

void got_piece(void *owner, enum db_status status, struct piece piece)
{
    *(struct got *)owner = (struct got){ true, status, piece };
    loop_stop(loop);
}

enum drop_want want;

struct got read_piece(struct drop *drop, size_t i, uint32_t number)
{
    struct got g = { 0 };
    if (drop_read(drop, i, number, want, &g.piece, got_piece, &g) == 1)
        return (struct got){ true, DB_OK, g.piece };
    assert_false(g.answered);
    while (!g.answered)
        wait_for_answer();
    return g;
}

enum db_status read_message(struct drop *drop, size_t i, struct buf *out)
{
    for (uint32_t number = 0;; number++) {
        struct got g = read_piece(drop, i, number);
        size_t octets = 0;
        if (g.status != DB_OK)
            return g.status;
        for (size_t k = 0; k < g.piece.count; k++) {
            buf_add(out, g.piece.spans[k].at, g.piece.spans[k].len);
            octets += g.piece.spans[k].len;
        }
        assert_true(octets <= 256 * 1024);
        piece_release(g.piece.ref);
        if (g.piece.last)
            return DB_OK;
    }
}

/* ---- group set-up */

int database_setup(void **state)
{
    (void)state;
    secret_init();
    log_set_level(getenv("VERBOSE") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    loop = loop_new();
    if (admin_connect() < 0)
        return -1;
    int64_t tenant = admin_number("insert into postern.tenant (name) values ('t%ld') returning tenant", (long)getpid());
    test_domain = admin_number("insert into postern.domain (tenant, name) values (%lld, 't%ld.test') returning domain",
                               (long long)tenant, (long)getpid());
    return 0;
}

int database_teardown(void **state)
{
    (void)state;
    admin_do("delete from postern.content_part where content in (select content from postern.message join postern.mailbox"
             " using (mailbox) where domain = %lld)", (long long)test_domain);
    admin_do("delete from postern.content where content in (select content from postern.message join postern.mailbox"
             " using (mailbox) where domain = %lld)", (long long)test_domain);
    admin_do("delete from postern.message where mailbox in (select mailbox from postern.mailbox where domain = %lld)",
             (long long)test_domain);
    admin_do("delete from postern.mailbox where domain = %lld", (long long)test_domain);
    admin_do("delete from postern.domain where domain = %lld", (long long)test_domain);
    admin_do("delete from postern.tenant where name = 't%ld'", (long)getpid());
    admin_close();
    loop_free(&loop);
    mem_free(wrong_schema_text);
    return 0;
}

void expect_message(struct drop *d, size_t i, const char *head, const char *body, size_t len)
{
    struct buf got = BUF_EMPTY;
    assert_string_equal(db_status_name(read_message(d, i, &got)), db_status_name(DB_OK));
    struct span all = buf_span(&got);
    assert_int_equal(all.len, strlen(head) + len);
    assert_int_equal(all.len, drop_message_octets(d, i));
    assert_memory_equal(all.at, head, strlen(head));
    if (len > 0)
        assert_memory_equal(all.at + strlen(head), body, len);
    buf_free(&got);
}
