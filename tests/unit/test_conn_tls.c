/*
 * test_conn_tls.c - a conn with TLS: handshake, records, back-pressure, ends
 * (T01, T02, T07, T10, T15, T18). The client is OpenSSL at the other end of a
 * socket.
 */
#include "tests/unit/conn_fixture.h"

#include <signal.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "tests/unit/tls_fixture.h"

static struct tls_ctx *server_ctx;
static SSL_CTX *client_ctx;
static SSL *client;

static void client_new(void)
{
    const int on = 1;

    client = SSL_new(client_ctx);
    SSL_set_connect_state(client);
    fcntl(t.fd, F_SETFL, O_NONBLOCK);
    /* What is said is there at once. */
    setsockopt(t.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void connect_tls(void)
{
    client_new();
    SSL_set_fd(client, t.fd);
}

/* Both sides take turns until the client's call has done it, or failed. */
static int shake(void)
{
    for (int i = 0; i < 10000; i++) {
        ERR_clear_error();
        int result = SSL_do_handshake(client);
        if (result == 1)
            return 1;
        int why = SSL_get_error(client, result);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return -1;
        turns(1);
    }
    return 0;
}

/* len octets, whatever records they come in; returns how many records. */
static int hear(char *data, size_t len)
{
    size_t at = 0;
    int records = 0;

    for (int i = 0; i < 100000 && at < len; i++) {
        int n = SSL_read(client, data + at, (int)(len - at));
        if (n > 0) {
            at += (size_t)n;
            records++;
        } else {
            turns(1);
        }
    }
    assert_int_equal(at, len);
    return records;
}

static void hear_text(const char *text)
{
    char data[512] = "";

    hear(data, strlen(text));
    assert_string_equal(data, text);
}

static void say_tls(const char *text)
{
    assert_int_equal(SSL_write(client, text, (int)strlen(text)), (int)strlen(text));
    turns(6);
}

static void open_tls_on(void (*open_socket)(void))
{
    open_socket();
    conn_start_tls(t.conn, server_ctx);
    connect_tls();
    assert_int_equal(shake(), 1);
    turns(2);
}

static void open_tls(void)
{
    open_tls_on(open_tcp);
}

static int tls_teardown(void **state)
{
    SSL_free(client);
    client = NULL;
    return teardown(state);
}

/* T10: what was written before is said after the handshake, inside of it. */
static void greeting_waits(void **state)
{
    char data[64];

    (void)state;
    open_tcp();
    conn_start_tls(t.conn, server_ctx);
    conn_write(t.conn, "+OK hello\r\n", 11);
    turns(5);
    assert_int_equal(client_reads(data, sizeof data), 0);
    assert_null(conn_tls_version(t.conn));
    connect_tls();
    assert_int_equal(shake(), 1);
    hear_text("+OK hello\r\n");
    assert_string_equal(conn_tls_version(t.conn), "TLSv1.3");
    assert_non_null(conn_tls_cipher(t.conn));
    assert_null(conn_tls_error(t.conn));
    say_tls("USER a\r\nPASS b\r\nhalf");
    got("USER a\r\nPASS b\r\n");
    assert_int_equal(conn_octets_out(t.conn), 11);
    assert_int_equal(conn_octets_in(t.conn), 20);
}

/* STLS: what is queued goes out in the clear, then the handshake (T01). */
static void begins_when_written(void **state)
{
    (void)state;
    open_tcp();
    conn_write(t.conn, "+OK begin\r\n", 11);
    conn_start_tls(t.conn, server_ctx);
    turns(2);
    client_got("+OK begin\r\n");
    connect_tls();
    assert_int_equal(shake(), 1);
    say_tls("NOOP\r\n");
    got("NOOP\r\n");
}

/* T02 T07: what is no handshake is no input. */
static void clear_octets_are_no_input(void **state)
{
    (void)state;
    open_tcp();
    conn_start_tls(t.conn, server_ctx);
    conn_write(t.conn, "+OK hello\r\n", 11);
    say("USER evil\r\nPASS evil\r\n");
    until(&t.ends);
    assert_int_equal(t.end, CONN_LOST);
    assert_int_equal(t.inputs, 0);
    assert_non_null(conn_tls_error(t.conn));
    assert_int_equal(conn_octets_out(t.conn), 0);
}

/* Many small pieces of a reply are one record; a large one takes full records. */
static void pieces_are_gathered(void **state)
{
    static char data[200000];

    (void)state;
    open_tls();
    for (int i = 0; i < 30; i++) {
        conn_write_ref(t.conn, "123456789\n", 10, count_free, &t);
        conn_write(t.conn, "abcdefghi\n", 10);
    }
    assert_int_equal(hear(data, 600), 1);
    assert_int_equal(t.freed, 30);
    assert_memory_equal(data + 580, "123456789\nabcdefghi\n", 20);
    fill(160000);
    assert_true(hear(data, 160000) <= 10);
}

/* The client reads nothing: a bounded queue, and all of it when it reads again. */
static void back_pressure(void **state)
{
    static char data[4000000];
    size_t written = 0;

    (void)state;
    open_tls_on(open_pair);     /* its buffers do not grow */
    while (written < sizeof data && !(conn_full(t.conn) && conn_queued(t.conn) > 4 * CONN_HIGH)) {
        char block[10000];

        memset(block, 'a' + (int)(written / sizeof block % 26), sizeof block);
        conn_write(t.conn, block, sizeof block);
        written += sizeof block;
        turns(1);
    }
    assert_true(written < sizeof data);
    /* More behind what could not be written: the library insists on getting the same octets again. */
    conn_write(t.conn, "tail", 4);
    turns(3);
    hear(data, written + 4);
    for (size_t i = 0; i < written; i++)
        assert_int_equal(data[i], 'a' + (int)(i / 10000 % 26));
    assert_memory_equal(data + written, "tail", 4);
    until(&t.drains);
}

/* A pause keeps what the library has read already; a resume delivers it. */
static void pause_with_records_inside(void **state)
{
    (void)state;
    open_tls();
    t.pause_at_line = true;
    /* Three records that come in one piece. */
    SSL_write(client, "ONE\r\n", 5);
    SSL_write(client, "TWO\r\n", 5);
    SSL_write(client, "THREE\r\n", 7);
    for (int i = 0; i < 50 && t.inputs == 0; i++)
        turns(1);
    got("ONE\r\n");
    turns(9);
    got("ONE\r\n");
    conn_resume(t.conn);
    turns(5);
    got("ONE\r\nTWO\r\n");
    t.pause_at_line = false;
    conn_resume(t.conn);
    turns(5);
    got("ONE\r\nTWO\r\nTHREE\r\n");
}

/* TLS 1.3: new keys at any time; the answer to them goes between the records of a long reply. */
static void key_update(void **state)
{
    static char data[300000];

    (void)state;
    open_tls();
    for (int i = 0; i < 5; i++) {
        fill(60000);
        assert_int_equal(SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED), 1);
        say_tls("NOOP\r\n");
        hear(data, 60000);
    }
    got("NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n");
    assert_int_equal(t.ends, 0);
}

/* T15: an end that anybody on the way can make is a lost client, with a goodbye it is the end of the input. */
static void ends(void **state)
{
    (void)state;
    open_tls();
    say_tls("DELE 1\r\n");
    close(t.fd);
    t.fd = t.from = -1;
    until(&t.ends);
    assert_int_equal(t.end, CONN_LOST);
    got("DELE 1\r\n");
    assert_null(conn_tls_error(t.conn));
}

static void goodbye(void **state)
{
    (void)state;
    open_tls();
    say_tls("NOOP\r\n");
    SSL_shutdown(client);
    until(&t.ends);
    assert_int_equal(t.end, CONN_EOF);
    /* It may still be told something. */
    conn_write(t.conn, "+OK bye\r\n", 9);
    conn_finish(&t.conn, 1000, finished, &t);
    hear_text("+OK bye\r\n");
    until(&t.done);
}

/* The last reply, then a goodbye of ours. */
static void finish_says_goodbye(void **state)
{
    char data[8];
    int n = -1;

    (void)state;
    open_tls();
    t.finish_at_input = true;
    say_tls("QUIT\r\n");
    hear_text("+OK bye\r\n");
    for (int i = 0; i < 1000 && n < 0; i++) {
        n = SSL_read(client, data, sizeof data);
        if (n <= 0 && SSL_get_error(client, n) == SSL_ERROR_WANT_READ)
            turns(1);
        else
            break;
    }
    assert_int_equal(SSL_get_error(client, n), SSL_ERROR_ZERO_RETURN);
    until(&t.done);
}

/* T18: nobody waits for the end of a handshake to close. */
static void finish_in_a_handshake(void **state)
{
    (void)state;
    open_tcp();
    conn_start_tls(t.conn, server_ctx);
    conn_write(t.conn, "+OK hello\r\n", 11);
    turns(2);
    conn_finish(&t.conn, 300000, finished, &t);
    turns(2);
    assert_int_equal(t.done, 1);
}

static void free_in_a_handshake(void **state)
{
    (void)state;
    open_tcp();
    conn_start_tls(t.conn, server_ctx);
    connect_tls();
    (void)SSL_do_handshake(client);
    turns(1);
    conn_free(&t.conn);
    turns(1);
}

/* The handshake of a client that sends an octet at a time. */
static void trickle(void **state)
{
    char octet;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    (void)state;
    open_tcp();
    conn_start_tls(t.conn, server_ctx);
    client_new();
    SSL_set_bio(client, in, out);
    for (int i = 0; i < 20000 && SSL_do_handshake(client) != 1; i++) {
        char data[4096];
        while (BIO_read(out, &octet, 1) == 1) {
            assert_int_equal(write(t.fd, &octet, 1), 1);
            turns(1);
        }
        ssize_t n = read(t.fd, data, sizeof data);
        if (n > 0)
            BIO_write(in, data, (int)n);
        turns(1);
    }
    assert_true(SSL_is_init_finished(client));
    while (BIO_read(out, &octet, 1) == 1)
        assert_int_equal(write(t.fd, &octet, 1), 1);
    turns(5);
    assert_non_null(conn_tls_version(t.conn));
}

static int make_all(void **state)
{
    if (make_tls_dir(state) != 0)
        return -1;
    write_pair("server", "server.example", true);
    server_ctx = load_ctx("server.pem", "", "", NULL);
    client_ctx = SSL_CTX_new(TLS_client_method());
    return server_ctx != NULL ? 0 : -1;
}

static int remove_all(void **state)
{
    tls_ctx_free(&server_ctx);
    SSL_CTX_free(client_ctx);
    return remove_tls_dir(state);
}

#define TLS(name) cmocka_unit_test_setup_teardown(name, setup, tls_teardown)

/* What a client says first. */
static size_t hello(char *data, size_t size)
{
    SSL *ssl = SSL_new(client_ctx);
    BIO *out = BIO_new(BIO_s_mem());
    int n;

    SSL_set_connect_state(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    n = BIO_read(out, data, (int)size);
    assert_true(n > 0);
    SSL_free(ssl);
    return (size_t)n;
}

static int ended;

static size_t crowd_input(void *owner, struct span in)
{
    (void)owner;
    return in.len;
}

static void crowd_drained(void *owner)
{
    (void)owner;
}

static void crowd_end(void *owner, enum conn_end why)
{
    (void)owner;
    (void)why;
    ended++;
}

static int answered(const int *fds, int count)
{
    int n = 0;

    for (int i = 0; i < count; i++) {
        struct pollfd p = { .fd = fds[i], .events = POLLIN };

        n += poll(&p, 1, 0) == 1;
    }
    return n;
}

/* T18: however many come at once, a turn makes a few handshakes only: a session has its turns between them. */
static void crowd_takes_turns(void **state)
{
    enum { CROWD = 200 };
    static const struct conn_protocol crowd = { .input = crowd_input, .drained = crowd_drained, .end = crowd_end };
    struct conn *conns[CROWD];
    int fds[CROWD], before = 0;
    char data[4096];
    size_t len = hello(data, sizeof data);

    (void)state;
    ended = 0;
    open_tls();
    for (int i = 0; i < CROWD; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        fds[i] = pair[1];
        conns[i] = conn_new(t.loop, pair[0], pair[0], &crowd, &t);
        conn_start_tls(conns[i], server_ctx);
    }
    turns(2);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(write(fds[i], data, len), len);
    assert_int_equal(SSL_write(client, "NOOP\r\n", 6), 6);
    turns(3);
    got("NOOP\r\n");
    assert_true(answered(fds, CROWD) < CROWD);
    /* And each has its turn. */
    for (int i = 0; i < 20 * CROWD && answered(fds, CROWD) < CROWD; i++) {
        turns(1);
        assert_true(answered(fds, CROWD) >= before);
        before = answered(fds, CROWD);
    }
    assert_int_equal(answered(fds, CROWD), CROWD);
    assert_int_equal(ended, 0);
    for (int i = 0; i < CROWD; i++) {
        conn_free(&conns[i]);
        close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS(greeting_waits), TLS(begins_when_written), TLS(clear_octets_are_no_input), TLS(pieces_are_gathered),
        TLS(back_pressure), TLS(pause_with_records_inside), TLS(key_update), TLS(ends), TLS(goodbye),
        TLS(finish_says_goodbye), TLS(finish_in_a_handshake), TLS(free_in_a_handshake), TLS(trickle), TLS(crowd_takes_turns),
    };

    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
