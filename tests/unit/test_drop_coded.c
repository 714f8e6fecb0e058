/*
 * Messages that are coded, out of a real PostgreSQL, side by side with plain ones: the octets
 * are those that were stored, in whatever order, however many were read ahead (P1), in
 * bounded memory (P7), and while the form changes under a session that reads.
 */
#include "tests/unit/db_fixture.h"

#include <zstd.h>

#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/content/piece_set.h"
#include "storage/content/run.h"

static void expect_status(enum db_status is, enum db_status wanted)
{
    assert_string_equal(db_status_name(is), db_status_name(wanted));
}

/* Lines that differ from message to message and from place to place; now and then something that does not get shorter. */
static char *text_new(unsigned seed, size_t len)
{
    char *text = mem_alloc(len + 200), *noise = body_new(seed, 70000);

    for (size_t at = 0, n = 0; at < len; n++)
        at += (size_t)snprintf(text + at, 200, "%u.%06zu the quick brown fox jumps over the lazy dog, %zu times\r\n", seed, n,
                               (n + seed) * n % 9973);
    for (size_t at = 100000; at + 70000 < len; at += 200000)
        memcpy(text + at, noise, 70000);
    mem_free(noise);
    return text;
}

/* ---- the same as of plain ones */

static void sizes_at_the_edges(void **state)
{
    static const size_t sizes[] = { 0, 1, 7999, 8000, 8001, 63999, 64000, 64001, 255999, 256000, 256001, 264000, 512000, 1000003 };
    enum { N = sizeof sizes / sizeof sizes[0] };
    static const char head[] = "Delivered-To: anna@example.org\r\n";
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = text_new(1, 1000003);

    (void)state;
    for (size_t i = 0; i < N; i++) {
        message_add_coded(mailbox, body, sizes[i], NULL);
        message_add_coded(mailbox, body, sizes[i], "anna@example.org");
    }
    assert_int_equal(admin_number("select count(*) from postern.message m join postern.content c using (content)"
                                  " where m.mailbox = %lld and c.stored < c.octets * 3 / 4", (long long)mailbox), 2 * N - 4);
    assert_int_equal(admin_number("select count(*) from postern.content c where c.stored <>"
                                  " (select sum(length(p.data)) from postern.content_part p where p.content = c.content)"), 0);
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

enum { MANY = 150 };
struct many {
    char *bodies[MANY];
    size_t sizes[MANY];
};

/* Every third one is plain. */
static void many_add(struct many *m, int64_t mailbox, size_t largest)
{
    for (size_t i = 0; i < MANY; i++) {
        m->sizes[i] = (size_t)rand() % largest;
        m->bodies[i] = text_new((unsigned)i + 77, m->sizes[i]);
        if (i % 3 == 0)
            message_add(mailbox, m->bodies[i], m->sizes[i], NULL, NULL);
        else
            message_add_coded(mailbox, m->bodies[i], m->sizes[i], NULL);
    }
}

static void many_free(struct many *m)
{
    for (size_t i = 0; i < MANY; i++)
        mem_free(m->bodies[i]);
}

/* The statement budget is that of plain ones: a RETR costs at most one, and less when messages are taken in order. */
static void in_order(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct many m;

    (void)state;
    srand(1);
    many_add(&m, mailbox, 10000);
    struct drop *d = must_open(store, mailbox);
    unsigned long long before = store_statements(store);
    for (size_t i = 0; i < MANY; i++)
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    assert_in_range(store_statements(store) - before, 3, 5);
    expect_status(finish(d, NULL), DB_OK);
    many_free(&m);
    store_free(&store);
}

/* Runs in order, repeats and jumps; whole, beginnings and headers. */
static void in_any_order(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    struct many m;

    (void)state;
    srand(2);
    many_add(&m, mailbox, 300000);
    struct drop *d = must_open(store, mailbox);
    size_t i = 0;
    for (int k = 0; k < 400; k++) {
        i = rand() % 8 == 0 ? (size_t)rand() % MANY : rand() % 8 == 0 ? i : (i + 1) % MANY;
        want = rand() % 4 == 0 ? WANT_BEGINNING : WANT_WHOLE;
        expect_message(d, i, "", m.bodies[i], m.sizes[i]);
    }
    /* TOP takes no more of a coded one than of a plain one. */
    unsigned long long before = store_statements(store);
    want = WANT_BEGINNING;
    for (i = 0; i < MANY; i++) {
        struct got g = read_piece(d, i, 0);
        size_t octets = 0;
        expect_status(g.status, DB_OK);
        for (size_t s = 0; s < g.piece.count; s++) {
            assert_memory_equal(g.piece.spans[s].at, m.bodies[i] + octets, g.piece.spans[s].len);
            octets += g.piece.spans[s].len;
        }
        assert_true(octets <= 8000 && octets >= (m.sizes[i] < 7900 ? m.sizes[i] : 7900));
        piece_release(g.piece.ref);
    }
    assert_in_range(store_statements(store) - before, 4, 10);
    want = WANT_WHOLE;
    expect_status(finish(d, NULL), DB_OK);
    many_free(&m);
    store_free(&store);
}

static void headers(void **state)
{
    enum { MESSAGES = 40 };
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = text_new(3, 100000);

    (void)state;
    memcpy(body + 500, "\r\n\r\n", 4);
    for (size_t i = 0; i < MESSAGES; i++)
        message_add_coded(mailbox, body, 504 + i * 2000, NULL);
    struct drop *d = must_open(store, mailbox);
    want = WANT_HEADER;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct got g = read_piece(d, i, 0);
        expect_status(g.status, DB_OK);
        assert_true(g.piece.count == 1 && g.piece.spans[0].len >= 504);
        assert_memory_equal(g.piece.spans[0].at, body, g.piece.spans[0].len);
        piece_release(g.piece.ref);
    }
    want = WANT_WHOLE;
    for (size_t i = 0; i < MESSAGES; i++)
        expect_message(d, i, "", body, 504 + i * 2000);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    store_free(&store);
}

/* P7: while clients that do not read have us hold much, pieces of coded messages are as short as those of plain ones. */
static void little_at_once(void **state)
{
    enum { OCTETS = 600000, HELD = 5000 };
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = text_new(4, OCTETS), *noise = body_new(4, OCTETS);
    struct piece_ref *held[HELD];
    size_t n = 0;
    struct got g;

    (void)state;
    message_add(mailbox, noise, OCTETS, NULL, NULL);
    message_add_coded(mailbox, body, OCTETS, NULL);
    struct drop *d = must_open(store, mailbox);
    assert_int_equal(piece_octets(), 0);
    for (size_t most = 64; most <= 256; most += 192) {
        while (piece_octets() < most << 20 && n < HELD) {
            g = read_piece(d, 0, 0);
            expect_status(g.status, DB_OK);
            held[n++] = g.piece.ref;
        }
        size_t before = piece_octets(), so_far = 0;
        for (uint32_t number = 0; so_far < OCTETS; number++) {
            g = read_piece(d, 1, number);
            expect_status(g.status, DB_OK);
            assert_true(piece_octets() - before <= (most == 64 ? 100000 : 20000));
            for (size_t s = 0; s < g.piece.count; s++) {
                assert_memory_equal(g.piece.spans[s].at, body + so_far, g.piece.spans[s].len);
                so_far += g.piece.spans[s].len;
            }
            assert_int_equal(g.piece.last, so_far == OCTETS);
            piece_release(g.piece.ref);
        }
    }
    while (n > 0)
        piece_release(held[--n]);
    assert_int_equal(piece_octets(), 0);
    expect_message(d, 1, "", body, OCTETS);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    mem_free(noise);
    store_free(&store);
}

/* ---- the form changes meanwhile */

static void recode(int64_t mailbox, int64_t uid, const char *body, size_t len, int32_t codec)
{
    struct buf room = BUF_EMPTY;
    int64_t content = admin_number("select content from postern.message where mailbox = %lld and uid = %lld", (long long)mailbox,
                                   (long long)uid);
    char number[24], octets[24], code[12];
    const char *values[] = { code, number, octets, NULL };
    int lengths[] = { 0, 0, 0, 0 };
    static const int formats[] = { 0, 0, 0, 1 };
    static const Oid types[] = { 23, 20, 23, 17 };
    struct span run = run_of((struct span){ body, len }, codec, &room);

    snprintf(code, sizeof code, "%d", (int)codec);
    snprintf(number, sizeof number, "%lld", (long long)content);
    snprintf(octets, sizeof octets, "%zu", len);
    values[3] = run.at;
    lengths[3] = (int)run.len;
    PGresult *res = PQexecParams(admin, "select outcome from postern.recode($1, array[$2], '{0}', array[$3], array[$4], true)", 4,
                                 types, values, lengths, formats, 0);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        fail_msg("recode: %s", PQerrorMessage(admin));
    assert_string_equal(PQgetvalue(res, 0, 0), "1");
    PQclear(res);
    buf_free(&room);
}

/* In front of each of its pieces, in all ways in which it is read. */
static void recoded_while_it_is_read(void **state)
{
    enum { OCTETS = 700000, HELD = 3000 };
    static const enum drop_want ways[] = { WANT_WHOLE, WANT_BEGINNING, WANT_HEADER };
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = text_new(5, OCTETS), *noise = body_new(4, 256000);
    struct piece_ref *held[HELD];
    size_t n = 0;
    int forms = 0;

    (void)state;
    message_add(mailbox, noise, 256000, NULL, NULL);
    message_add(mailbox, body, OCTETS, "anna@example.org", NULL);
    struct drop *d = must_open(store, mailbox);
    for (int pressure = 0; pressure < 3; pressure++) {
        while (piece_octets() < (size_t[]){ 0, 64, 256 }[pressure] << 20 && n < HELD) {
            struct got g = read_piece(d, 0, 0);
            expect_status(g.status, DB_OK);
            held[n++] = g.piece.ref;
        }
        for (size_t way = 0; way < 3; way++)
            for (uint32_t when = 0; when < (pressure < 2 ? 3 : 8); when += pressure < 2 ? 1 : 3) {
                struct buf got = BUF_EMPTY;
                for (uint32_t number = 0;; number++) {
                    if (number == when)
                        recode(mailbox, 2, body, OCTETS, ++forms % 2 == 0 ? CODEC_PLAIN : CODEC_ZSTD);
                    want = number == 0 ? ways[way] : WANT_WHOLE;
                    struct got g = read_piece(d, 1, number);
                    expect_status(g.status, DB_OK);
                    for (size_t s = 0; s < g.piece.count; s++)
                        buf_add(&got, g.piece.spans[s].at, g.piece.spans[s].len);
                    piece_release(g.piece.ref);
                    if (g.piece.last)
                        break;
                }
                assert_int_equal(buf_left(&got), OCTETS + strlen("Delivered-To: anna@example.org\r\n"));
                assert_memory_equal(buf_span(&got).at + strlen("Delivered-To: anna@example.org\r\n"), body, OCTETS);
                buf_free(&got);
            }
    }
    want = WANT_WHOLE;
    while (n > 0)
        piece_release(held[--n]);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    mem_free(noise);
    store_free(&store);
}

/* ---- what is stored is not what the listing says */

static void stored_wrong(void **state)
{
    struct store *store = test_store(&test_settings);
    int64_t mailbox = mailbox_new();
    char *body = text_new(4, 600000), bomb[10000], number[24];
    struct buf out = BUF_EMPTY, hex = BUF_EMPTY;

    (void)state;
    for (int i = 0; i < 8; i++)
        message_add_coded(mailbox, body, i == 6 ? 600000 : 20000, NULL);
    admin_do("update postern.message set octets = octets + 5 where mailbox = %lld and uid = 3", (long long)mailbox);
    admin_do("update postern.message set octets = octets - 5 where mailbox = %lld and uid = 4", (long long)mailbox);
    admin_do("update postern.content_part set data = substr(data, 1, length(data) - 9) where part = 0 and content ="
             " (select content from postern.message where mailbox = %lld and uid = 5)", (long long)mailbox);
    admin_do("delete from postern.content_part where part between 40 and 47 and content ="
             " (select content from postern.message where mailbox = %lld and uid = 7)", (long long)mailbox);
    /* A frame of 20 MB of nothing. */
    char *zeros = mem_zalloc(20 << 20);
    size_t len = ZSTD_compress(bomb, sizeof bomb, zeros, 20 << 20, 1);
    mem_free(zeros);
    assert_false(ZSTD_isError(len));
    for (size_t i = 0; i < len; i++)
        buf_addf(&hex, "%02x", (unsigned)(unsigned char)bomb[i]);
    buf_add(&hex, "", 1);
    snprintf(number, sizeof number, "%lld", (long long)mailbox);
    admin_value("update postern.content_part set data = decode($1, 'hex') where content ="
                " (select content from postern.message where mailbox = $2::bigint and uid = 8)", buf_span(&hex).at, number);
    struct drop *d = must_open(store, mailbox);
    expect_message(d, 0, "", body, 20000);
    expect_message(d, 1, "", body, 20000);      /* comes in one answer with the three that are damaged */
    for (size_t i = 2; i < 5; i++)
        expect_status(read_message(d, i, &out), DB_BUG);
    assert_int_equal(buf_left(&out), 0);
    expect_message(d, 5, "", body, 20000);
    expect_status(read_message(d, 7, &out), DB_BUG);
    assert_int_equal(buf_left(&out), 0);
    /* A hole behind the first piece: that one comes, and is not the last. */
    expect_status(read_message(d, 6, &out), DB_BUG);
    assert_int_equal(buf_left(&out), 256000);
    assert_int_equal(piece_octets(), 0);
    buf_free(&out);
    buf_free(&hex);
    expect_status(finish(d, NULL), DB_OK);
    mem_free(body);
    store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_at_the_edges),
        cmocka_unit_test(in_order),
        cmocka_unit_test(in_any_order),
        cmocka_unit_test(headers),
        cmocka_unit_test(little_at_once),
        cmocka_unit_test(recoded_while_it_is_read),
        cmocka_unit_test(stored_wrong),
    };
    if (without_database("drop_coded"))
        return 0;
    return cmocka_run_group_tests_name("drop_coded", tests, database_setup, database_teardown);
}
