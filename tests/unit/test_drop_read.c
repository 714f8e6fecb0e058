/*
 * Messages out of a real PostgreSQL: the octets are those that were stored, in
 * whatever order and however many were read ahead (P1), and never the end of
 * something else.
 */
#include "tests/unit/db_fixture.h"
#include "storage/content/piece_set.h"

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

/* Sizes around the edges of parts (8,000) and pieces (256,000), with and without a line in front. */
static void sizes_at_the_edges(void **state)
{
    static const size_t sizes[] = { 0, 1, 7999, 8000, 8001, 255999, 256000, 256001, 264000, 512000, 1000003 };
    enum { N = sizeof sizes / sizeof sizes[0] };
    static const char head[] = "Delivered-To: anna@example.org\r\n";
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = body_new(1, 1000003);

    (void)state;
    for (size_t i = 0; i < N; i++) {
        message_add(mailbox, body, sizes[i], NULL, NULL);
        message_add(mailbox, body, sizes[i], "anna@example.org", NULL);
    }
    struct drop *d = must_open(store, mailbox);
    for (int order = 0; order < 2; order++)
        for (size_t k = 0; k < 2 * N; k++) {
            size_t i = order == 0 ? k : 2 * N - 1 - k;
            expect_message(d, i, i % 2 == 0 ? "" : head, body, sizes[i / 2]);
        }
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    store_free(&store);
}

/* A part is 8,000 octets where Postern wrote it; what another program wrote is read all the same. */
static void parts_of_another_size(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = body_new(2, 4000);

    (void)state;
    messages_add(mailbox, 1, 10);
    message_add(mailbox, body, 4000, NULL, NULL);
    messages_add(mailbox, 1, 10);
    admin_do("create temp table small as select p.content, n as part, substr(p.data, n * 40 + 1, 40) as data"
             " from postern.message m join postern.content_part p using (content), generate_series(0, 99) n"
             " where m.mailbox = %lld and m.uid = 2", (long long)mailbox);
    admin_do("delete from postern.content_part where content in (select content from small)");
    admin_do("insert into postern.content_part select * from small");
    admin_do("drop table small");
    struct drop *d = must_open(store, mailbox);
    struct buf first = BUF_EMPTY;
    expect_status(read_message(d, 0, &first), DB_OK);
    expect_message(d, 1, "", body, 4000);       /* in order, so it came ahead, and only in part */
    expect_status(read_message(d, 2, &first), DB_OK);
    assert_int_equal(buf_left(&first), 20);
    buf_free(&first);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    store_free(&store);
}

struct many {
    size_t n;
    char *bodies[200];
    size_t sizes[200];
};

static void many_add(struct many *m, int64_t mailbox, size_t n, size_t largest)
{
    m->n = n;
    for (size_t i = 0; i < n; i++) {
        m->sizes[i] = (size_t)rand() % largest;
        m->bodies[i] = body_new((unsigned)i + 77, m->sizes[i]);
        message_add(mailbox, m->bodies[i], m->sizes[i], NULL, NULL);
    }
}

static void many_free(struct many *m)
{
    for (size_t i = 0; i < m->n; i++)
        mem_free(m->bodies[i]);
}

/* The statement budget: a RETR costs at most one, and less when messages are taken in order. */
static void in_order(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct many m;

    (void)state;
    srand(1);
    many_add(&m, mailbox, 200, 10000);
    struct drop *d = must_open(store, mailbox);
    unsigned long long before = store_statements(store);
    expect_message(d, 0, "", m.bodies[0], m.sizes[0]);
    assert_int_equal(store_statements(store) - before, 1);
    for (size_t i = 1; i < m.n; i++)
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    /* 1 MB in windows of up to 512 KiB: 8, 64 and then about 100 messages each. */
    assert_in_range(store_statements(store) - before, 3, 5);

    /* Backwards nothing is read ahead. */
    before = store_statements(store);
    for (size_t i = 10; i-- > 0;)
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    assert_int_equal(store_statements(store) - before, 10);
    expect_status(finish(d, NULL), DB_OK);

    /* Who begins with what is new may want that one alone: 1, then 8. */
    d = must_open(store, mailbox);
    before = store_statements(store);
    expect_message(d, 150, "", m.bodies[150], m.sizes[150]);
    expect_message(d, 151, "", m.bodies[151], m.sizes[151]);
    assert_int_equal(store_statements(store) - before, 2);
    for (size_t i = 152; i < 159; i++)
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    assert_int_equal(store_statements(store) - before, 2);
    expect_status(finish(d, NULL), DB_OK);
    many_free(&m);
    store_free(&store);
}

static void in_any_order(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct many m;

    (void)state;
    srand(2);
    many_add(&m, mailbox, 200, 40000);
    struct drop *d = must_open(store, mailbox);
    unsigned long long before = store_statements(store);
    size_t i = 0;
    for (int k = 0; k < 1500; k++) {
        /* Runs in order, repeats and jumps. */
        i = rand() % 8 == 0 ? (size_t)rand() % m.n : rand() % 8 == 0 ? i : (i + 1) % m.n;
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    }
    assert_true(store_statements(store) - before < 1500);
    expect_status(finish(d, NULL), DB_OK);
    many_free(&m);
    store_free(&store);
}

/* TOP: beginnings come ahead, of large messages too; whoever goes on gets the rest, and RETR in between is whole. */
static void beginnings(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct many m;

    (void)state;
    srand(3);
    many_add(&m, mailbox, 100, 600000);
    struct drop *d = must_open(store, mailbox);
    unsigned long long before = store_statements(store);
    want = WANT_BEGINNING;
    for (size_t i = 0; i < m.n; i++) {
        struct got g = read_piece(d, i, 0);
        expect_status(g.status, DB_OK);
        assert_int_equal(g.piece.last, m.sizes[i] <= 8000);
        assert_true(g.piece.count == 0 || memcmp(g.piece.spans[0].at, m.bodies[i], g.piece.spans[0].len) == 0);
        piece_release(g.piece.ref);
    }
    assert_in_range(store_statements(store) - before, 4, 8);    /* 1, 8, then 32 of 8,000 octets */

    for (int round = 0; round < 300; round++) {
        static size_t i;
        i = rand() % 4 == 0 ? (size_t)rand() % m.n : (i + 1) % m.n;
        want = rand() % 2 == 0 ? WANT_BEGINNING : WANT_WHOLE;
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    }
    want = WANT_WHOLE;
    expect_status(finish(d, NULL), DB_OK);
    many_free(&m);
    store_free(&store);
}

/* TOP n 0: headers alone come, and a RETR behind one is whole; a header that is longer than a piece is read on. */
static void headers(void **state)
{
    enum { MESSAGES = 60, LONG = 20 };
    static char body[MESSAGES][30000];
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();

    (void)state;
    srand(4);
    for (size_t i = 0; i < MESSAGES; i++) {
        memset(body[i], 'a' + (int)(i % 26), sizeof body[i]);
        memcpy(body[i] + (i == LONG ? 20000 : 100 + i), "\r\n\r\n", 4);
        memcpy(body[i] + 25000, "\r\n\r\n", 4);
        message_add(mailbox, body[i], i == MESSAGES - 1 ? 100 + i + 4 : sizeof body[i], i == 3 ? "anna@example.org" : NULL, NULL);
    }
    struct drop *d = must_open(store, mailbox);
    unsigned long long before = store_statements(store);
    want = WANT_HEADER;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct got g = read_piece(d, i, 0);
        const struct span *last = &g.piece.spans[g.piece.count - 1];
        expect_status(g.status, DB_OK);
        assert_int_equal(g.piece.count, i == 3 ? 2 : 1);
        assert_int_equal(last->len, i == LONG ? 8000 : 100 + i + 4);
        assert_memory_equal(last->at, body[i], last->len);
        assert_int_equal(g.piece.last, i == MESSAGES - 1);
        piece_release(g.piece.ref);
    }
    assert_in_range(store_statements(store) - before, 3, 4);
    expect_message(d, LONG, "", body[LONG], sizeof body[LONG]);

    for (int round = 0; round < 300; round++) {
        static size_t i;
        i = rand() % 4 == 0 ? (size_t)rand() % (MESSAGES - 1) : (i + 1) % (MESSAGES - 1);
        want = (enum drop_want)(rand() % 3);
        if (want != WANT_HEADER) {
            expect_message(d, i, i == 3 ? "Delivered-To: anna@example.org\r\n" : "", body[i], sizeof body[i]);
            continue;
        }
        struct got g = read_piece(d, i, 0);
        expect_status(g.status, DB_OK);
        piece_release(g.piece.ref);
    }
    want = WANT_WHOLE;
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
}

static void read_ahead_has_bounds(void **state)
{
    struct storage_settings off = test_settings, none_left = test_settings, small = test_settings;
    int64_t mailbox = mailbox_new();

    (void)state;
    off.read_ahead = 0;
    none_left.read_ahead_total = 0;
    small.read_ahead = 3000;
    messages_add(mailbox, 30, 1000);
    const struct storage_settings *settings[] = { &off, &none_left, &small };
    const unsigned wanted[] = { 30, 30, 10 };   /* 3 at a time */
    for (size_t k = 0; k < 3; k++) {
        struct store *store = test_store(settings[k]);
        struct drop *d = must_open(store, mailbox);
        unsigned long long before = store_statements(store);
        struct buf all = BUF_EMPTY;
        for (size_t i = 0; i < 30; i++)
            expect_status(read_message(d, i, &all), DB_OK);
        assert_int_equal(buf_left(&all), 30000);
        assert_int_equal(store_statements(store) - before, wanted[k]);
        buf_free(&all);
        expect_status(finish(d, NULL), DB_OK);
        store_free(&store);
    }
}

/* The client stops in the middle, asks for another, leaves while an answer is on its way. */
static void not_wanted_any_more(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = body_new(3, 600000);
    struct got never = { 0 };

    (void)state;
    message_add(mailbox, body, 600000, NULL, NULL);
    message_add(mailbox, body, 100, NULL, NULL);
    message_add(mailbox, body, 200, NULL, NULL);
    struct drop *d = must_open(store, mailbox);
    struct got g = read_piece(d, 0, 0);
    expect_status(g.status, DB_OK);
    assert_false(g.piece.last);
    piece_release(g.piece.ref);
    assert_int_equal(drop_read(d, 0, 1, WANT_WHOLE, &never.piece, got_piece, &never), 0);
    drop_read_forget(d);
    expect_message(d, 1, "", body, 100);
    assert_int_equal(drop_read(d, 0, 0, WANT_WHOLE, &never.piece, got_piece, &never), 0);
    drop_read_forget(d);
    expect_message(d, 2, "", body, 200);
    expect_message(d, 0, "", body, 600000);
    assert_int_equal(drop_read(d, 1, 0, WANT_WHOLE, &never.piece, got_piece, &never), 0);
    expect_status(finish(d, NULL), DB_OK);
    assert_false(never.answered);

    /* What was handed out outlives the maildrop and the store. */
    d = must_open(store, mailbox);
    g = read_piece(d, 2, 0);
    expect_status(g.status, DB_OK);
    piece_hold(g.piece.ref);
    expect_status(finish(d, NULL), DB_OK);
    store_free(&store);
    piece_release(g.piece.ref);
    assert_memory_equal(g.piece.spans[0].at, body, 200);
    piece_release(g.piece.ref);
    mem_free(body);
}

static size_t octets_of(const struct piece *piece)
{
    size_t octets = 0;

    for (size_t i = 0; i < piece->count; i++)
        octets += piece->spans[i].len;
    return octets;
}

/* P7: while clients that do not read have us hold much, pieces are short, and then as short as there are; later they are long again. */
static void little_at_once(void **state)
{
    enum { OCTETS = 600000, HELD = 5000 };
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = body_new(4, OCTETS);
    struct piece_ref *held[HELD];
    size_t n = 0;
    struct got g;

    (void)state;
    message_add(mailbox, body, OCTETS, NULL, NULL);
    struct drop *d = must_open(store, mailbox);
    assert_int_equal(piece_octets(), 0);
    for (size_t size = 256000; size > 8000; size /= size == 256000 ? 4 : 8) {
        do {
            g = read_piece(d, 0, 0);
            expect_status(g.status, DB_OK);
            held[n++] = g.piece.ref;
        } while (octets_of(&g.piece) == size && n < HELD);
        assert_int_equal(octets_of(&g.piece), size == 256000 ? 64000 : 8000);
        /* So much more of the server's memory as there are octets in it, and some. */
        assert_in_range(piece_octets(), size == 256000 ? 64 << 20 : 256 << 20, size == 256000 ? 70 << 20 : 270 << 20);
        expect_message(d, 0, "", body, OCTETS);
    }
    while (n > 0)
        piece_release(held[--n]);
    assert_int_equal(piece_octets(), 0);
    g = read_piece(d, 0, 0);
    assert_int_equal(octets_of(&g.piece), 256000);
    piece_release(g.piece.ref);
    expect_message(d, 0, "", body, OCTETS);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    store_free(&store);
}

/* Y11, X08: what is stored is not what the listing says. */
static void stored_wrong(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = body_new(4, 600000);
    struct buf out = BUF_EMPTY;

    (void)state;
    for (int i = 0; i < 7; i++)
        message_add(mailbox, body, i == 6 ? 600000 : 20000, NULL, NULL);
    admin_do("update postern.message set octets = octets + 5 where mailbox = %lld and uid = 3", (long long)mailbox);
    admin_do("update postern.message set octets = octets - 5 where mailbox = %lld and uid = 4", (long long)mailbox);
    admin_do("delete from postern.content_part where part = 1 and content ="
             " (select content from postern.message where mailbox = %lld and uid = 5)", (long long)mailbox);
    admin_do("delete from postern.content_part where part = 40 and content ="
             " (select content from postern.message where mailbox = %lld and uid = 7)", (long long)mailbox);
    struct drop *d = must_open(store, mailbox);
    expect_message(d, 0, "", body, 20000);
    expect_message(d, 1, "", body, 20000);      /* comes in one answer with the three that are damaged */
    for (size_t i = 2; i < 5; i++)
        expect_status(read_message(d, i, &out), DB_BUG);
    assert_int_equal(buf_left(&out), 0);
    expect_message(d, 5, "", body, 20000);
    /* A hole behind the first piece: that one comes, and is not the last. */
    expect_status(read_message(d, 6, &out), DB_BUG);
    assert_int_equal(buf_left(&out), 256000);

    admin_do("select postern.remove_messages(%lld, array[1, 6])", (long long)mailbox);
    buf_clear(&out);
    expect_status(read_message(d, 0, &out), DB_NOT_FOUND);
    expect_status(read_message(d, 5, &out), DB_NOT_FOUND);
    assert_int_equal(buf_left(&out), 0);
    buf_free(&out);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_at_the_edges),
        cmocka_unit_test(parts_of_another_size),
        cmocka_unit_test(in_order),
        cmocka_unit_test(in_any_order), cmocka_unit_test(beginnings), cmocka_unit_test(headers),
        cmocka_unit_test(read_ahead_has_bounds),
        cmocka_unit_test(not_wanted_any_more), cmocka_unit_test(little_at_once),
        cmocka_unit_test(stored_wrong),
    };
    if (without_database("drop_read"))
        return 0;
    return cmocka_run_group_tests_name("drop_read", tests, database_setup, database_teardown);
}
