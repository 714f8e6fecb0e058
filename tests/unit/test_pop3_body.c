/*
 * RETR, TOP and long listings on a fake storage: many pieces, clients that do
 * not read, and messages that cannot be read to their end.
 */
#include "tests/unit/pop3_fake.h"

/* A message of about so many octets: long lines, dot lines, a dot at each kind of place. */
static void big_mail(size_t i, size_t octets)
{
    static const char *const lines[] = { ".\r\n", "..\r\n", ".x.y\r\n", "\r\n", "a line. of text.\r\n" };
    struct buf *b = &fake.mail[i];
    unsigned seed = 3;

    buf_clear(b);
    buf_add_str(b, "Subject: big\r\n\r\n");
    while (buf_left(b) < octets) {
        if (rand_r(&seed) % 8 == 0) {
            for (int n = rand_r(&seed) % 20000; n > 0; n -= 16)
                buf_add_str(b, "0123456789abcde.");
        }
        buf_add_str(b, lines[(size_t)rand_r(&seed) % (sizeof lines / sizeof lines[0])]);
    }
    if (fake.count <= i)
        fake.count = i + 1;
}

/* Takes the reply to RETR out of what was heard: unstuffed, it is the message (P1, X04, Y01). */
static void expect_message(struct client *c, size_t i)
{
    struct span want = buf_span(&fake.mail[i]), in;
    char first[64];
    size_t at = 0, got = 0;

    snprintf(first, sizeof first, "+OK %zu octets\r\n", want.len);
    expect(c, first);
    for (;;) {
        const char *end;
        size_t len;

        in = buf_span(&c->in);
        end = at < in.len ? memchr(in.at + at, '\n', in.len - at) : NULL;
        if (end == NULL) {
            assert_false(c->eof);
            hear(c, buf_left(&c->in) + 1);
            continue;
        }
        len = (size_t)(end - in.at) + 1 - at;
        if (len == 3 && memcmp(in.at + at, ".\r\n", 3) == 0)
            break;
        if (in.at[at] == '.') {
            at++;
            len--;
        }
        assert_true(got + len <= want.len);
        assert_memory_equal(in.at + at, want.at + got, len);
        got += len;
        at += len;
    }
    assert_int_equal(got, want.len);
    buf_consume(&c->in, at + 3);
}

/* Y02, Y03, Y07: eleven pieces, and the same with TOP, to the octet. A piece and the tail of the one before are held. */
static void test_big(void **state)
{
    struct client *c;
    struct buf whole = BUF_EMPTY;

    (void)state;
    big_mail(0, 2800000);
    c = login();
    say(c, "RETR 1\r\nTOP 1 99999999\r\nNOOP\r\n");
    hear(c, buf_left(&fake.mail[0]));
    expect_message(c, 0);

    /* TOP's reply is checked as RETR's, so it gets that one's first line. */
    expect(c, "+OK\r\n");
    buf_add_str(&whole, "+OK ");
    buf_addf(&whole, "%zu octets\r\n", buf_left(&fake.mail[0]));
    while (buf_left(&c->in) < 5 || memcmp(c->in.data + c->in.len - 5, "+OK\r\n", 5) != 0)
        hear(c, buf_left(&c->in) + 1);
    buf_add(&whole, buf_span(&c->in).at, buf_left(&c->in));
    buf_free(&c->in);
    c->in = whole;
    expect_message(c, 0);
    expect(c, "+OK\r\n");
    assert_int_equal(fake.reads, 2 * (buf_left(&fake.mail[0]) / FAKE_PIECE + 1));
    assert_true(fake.most_pieces <= 2);
    ask(c, "QUIT\r\n", "+OK bye, 3 messages left\r\n");
    expect_eof(c);
    assert_true(fake.retrieved[0] && !fake.retrieved[1]);
}

/* TOP of a big message reads one piece, not eleven. */
static void test_top_reads_little(void **state)
{
    struct client *c;

    (void)state;
    big_mail(0, 2800000);
    c = login();
    ask(c, "TOP 1 0\r\nNOOP\r\n", "+OK\r\nSubject: big\r\n\r\n.\r\n+OK\r\n");
    assert_int_equal(fake.reads, 1);
    client_close(c);
    until_ended(1);
    assert_false(fake.retrieved[0]);
}

/* N04, N05, Y20: a client that sends a thousand RETRs and reads nothing costs what one costs; then it gets all. */
static void test_deaf_client(void **state)
{
    enum { RETRS = 200 };
    struct client *c;
    unsigned reads;

    (void)state;
    big_mail(0, 600000);
    c = login();
    watch_set(c->watch, 0);
    for (int i = 0; i < RETRS; i++)
        say(c, "RETR 1\r\n");
    run_a_while(20);
    reads = fake.reads;
    assert_true(reads < 10);
    run_a_while(20);
    assert_int_equal(fake.reads, reads);

    watch_set(c->watch, LOOP_READ);
    for (int i = 0; i < RETRS; i++)
        expect_message(c, 0);
    assert_true(fake.most_pieces <= 2);
    ask(c, "QUIT\r\n", "+OK bye, 3 messages left\r\n");
    expect_eof(c);
}

/* C16, N05: the same with commands that are answered at once: nobody reads their replies, so no more are read. */
static void test_deaf_to_capa(void **state)
{
    enum { MUCH = 4 << 20 };
    static const char capas[] = "CAPA\r\nNOOP\r\nCAPA\r\nNOOP\r\nCAPA\r\nNOOP\r\n";
    struct client *c = login();
    size_t sent = 0, refused = 0;

    (void)state;
    watch_set(c->watch, 0);
    while (refused < 20 && sent < MUCH) {
        ssize_t n = send(c->fd, capas, sizeof capas - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            sent += (size_t)n;
            refused = 0;
        } else {
            refused++;
            run_a_while(1);
        }
    }
    assert_true(sent < MUCH);
    client_close(c);
    until_ended(1);
}

/* The same, and it never reads: closed at the write time, nothing deleted, the pieces given back. */
static void test_stalled_client(void **state)
{
    struct client *c;

    (void)state;
    big_mail(0, 6000000);
    fake.settings.pop3_write_time = 40;
    c = login();
    watch_set(c->watch, 0);
    say(c, "DELE 2\r\nRETR 1\r\nQUIT\r\n");
    until_ended(1);
    assert_false(fake.marked[1]);
    assert_int_equal(fake.pieces, 0);
    client_close(c);
}

/* It has gone without reading the message that it tells us to delete: the QUIT does not count. */
static void test_gone_without_message(void **state)
{
    struct client *c;

    (void)state;
    big_mail(0, 6000000);
    c = login();
    say(c, "RETR 1\r\nDELE 1\r\nQUIT\r\n");
    client_close(c);
    until_ended(1);
    assert_false(fake.marked[0]);
    assert_int_equal(fake.pieces, 0);
}

/* Y11: the end is cut off, the dot never sent. */
static void test_cut_off(void **state)
{
    static const enum db_status statuses[] = { DB_RETRY, DB_LOST, DB_NOT_FOUND, DB_BUG };

    (void)state;
    big_mail(0, 600000);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct client *c;
        struct span in;

        fake.lost = false;
        c = login();
        fake.read_status = statuses[i];
        fake.read_fails_at = 1 + (uint32_t)i % 2;
        say(c, "DELE 2\r\nRETR 1\r\nQUIT\r\n");
        hear(c, SIZE_MAX);
        in = buf_span(&c->in);
        assert_true(in.len > FAKE_PIECE);
        assert_memory_not_equal(in.at + in.len - 5, "\r\n.\r\n", 5);
        assert_false(fake.marked[1]);
        client_close(c);
        until_ended(i + 1);
    }
}

/* Y12, X08: before the first octet it is a reply like any other, and the session goes on. */
static void test_unreadable(void **state)
{
    static const struct {
        enum db_status status;
        const char *reply;
    } rows[] = {
        { DB_NOT_FOUND, "-ERR message 2 no longer exists\r\n" },
        { DB_RETRY, "-ERR [SYS/TEMP] cannot read message 2 now, try again later\r\n" },
        { DB_BUG, "-ERR [SYS/PERM] cannot read message 2, contact your mail provider\r\n" },
    };
    struct client *c = login();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fake.read_status = rows[i].status;
        ask(c, "RETR 2\r\nSTAT\r\n", rows[i].reply);
        expect(c, "+OK 3 73\r\n");
        ask(c, "TOP 2 0\r\nSTAT\r\n", rows[i].reply);
        expect(c, "+OK 3 73\r\n");
    }
    ask(c, "DELE 2\r\nQUIT\r\n", "+OK message 2 is marked as deleted\r\n+OK bye, 1 message deleted, 2 left\r\n");
    expect_eof(c);
}

/* L10: the lock is lost. What is known is still told; nothing is read or deleted any more. */
static void test_lost(void **state)
{
    struct client *c = login();

    (void)state;
    ask(c, "DELE 1\r\n", "+OK message 1 is marked as deleted\r\n");
    fake.read_status = DB_LOST;
    ask(c, "RETR 2\r\n", "-ERR [SYS/TEMP] connection to the maildrop lost, log in again\r\n");
    fake.read_status = DB_OK;
    ask(c, "RETR 2\r\nTOP 2 0\r\nDELE 2\r\n", "-ERR [SYS/TEMP] connection to the maildrop lost, log in again\r\n"
                                         "-ERR [SYS/TEMP] connection to the maildrop lost, log in again\r\n"
                                         "-ERR [SYS/TEMP] connection to the maildrop lost, log in again\r\n");
    ask(c, "STAT\r\nLIST 2\r\nQUIT\r\n", "+OK 2 50\r\n+OK 2 34\r\n-ERR [SYS/TEMP] connection to the maildrop lost, nothing was deleted\r\n");
    expect_eof(c);
    until_ended(1);
    assert_false(fake.marked[0]);
    assert_int_equal(fake.finishes, 1);
}

/* Y05, Y17 and the message without any octet. */
static void test_odd_messages(void **state)
{
    struct client *c;

    (void)state;
    fake_mail(0, "");
    fake_mail(1, "Subject: no end");
    c = login();
    ask(c, "RETR 1\r\nTOP 1 5\r\nRETR 2\r\nRETR 3\r\n", "+OK 0 octets\r\n.\r\n+OK\r\n.\r\n+OK 15 octets\r\nSubject: no end\r\n.\r\n"
                                                 "+OK 16 octets\r\nSubject: three\r\n.\r\n");
    client_close(c);
    until_ended(1);
}

/* X03, X05, X06: a listing that is longer than the output may be, to a client that takes its time. */
static void test_long_listing(void **state)
{
    enum { MANY = 20000 };
    struct client *c;
    struct buf want = BUF_EMPTY;

    (void)state;
    fake.count = MANY;
    fake_mail(3, "x\r\n");
    c = login();
    ask(c, "DELE 2\r\nDELE 20000\r\n", "+OK message 2 is marked as deleted\r\n+OK message 20000 is marked as deleted\r\n");
    buf_addf(&want, "+OK %d messages, %d octets\r\n", MANY - 2, MANY / 4 * 76 - 34 - 3);
    for (unsigned i = 0; i < MANY; i++) {
        if (i != 1 && i != MANY - 1)
            buf_addf(&want, "%u %u\r\n", i + 1, i % 4 == 0 ? 23u : i % 4 == 1 ? 34u : i % 4 == 2 ? 16u : 3u);
    }
    buf_add_str(&want, ".\r\n");
    buf_addf(&want, "+OK %d messages, %d octets\r\n", MANY - 2, MANY / 4 * 76 - 34 - 3);
    for (unsigned i = 0; i < MANY; i++) {
        if (i != 1 && i != MANY - 1)
            buf_addf(&want, "%u uid.%u\r\n", i + 1, i + 1);
    }
    buf_add_str(&want, ".\r\n+OK\r\n");

    watch_set(c->watch, 0);
    say(c, "LIST\r\nUIDL\r\nNOOP\r\n");
    run_a_while(10);
    watch_set(c->watch, LOOP_READ);
    hear(c, buf_left(&want));
    assert_int_equal(buf_left(&c->in), buf_left(&want));
    assert_memory_equal(buf_span(&c->in).at, buf_span(&want).at, buf_left(&want));
    buf_clear(&c->in);
    buf_free(&want);
    ask(c, "QUIT\r\n", "+OK bye, 2 messages deleted, 19998 left\r\n");
    expect_eof(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_big), FAKE_TEST(test_top_reads_little), FAKE_TEST(test_deaf_client), FAKE_TEST(test_deaf_to_capa),
        FAKE_TEST(test_stalled_client), FAKE_TEST(test_gone_without_message),
        FAKE_TEST(test_cut_off), FAKE_TEST(test_unreadable), FAKE_TEST(test_lost), FAKE_TEST(test_odd_messages),
        FAKE_TEST(test_long_listing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
