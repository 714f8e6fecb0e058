/* The input of a byte stream, over socket pairs, TCP, pipes and files: end of file, reset, pause. */
#include "tests/unit/conn_fixture.h"

/* --- input --- */

/* N01, N02: one segment or one octet at a time, the same lines arrive. */
static void lines(void **state)
{
    (void)state;
    open_pair();
    say("USER u\r\nPASS p\r\nSTA");
    turns(1);
    got("USER u\r\nPASS p\r\n");
    assert_int_equal(t.inputs, 1);
    const char *rest = "T\r\nQUIT\r\n";
    for (; *rest != '\0'; rest++) {
        assert_int_equal(write(t.fd, rest, 1), 1);
        turns(1);
    }
    got("USER u\r\nPASS p\r\nSTAT\r\nQUIT\r\n");
    assert_int_equal(conn_octets_in(t.conn), 28);
}

static void end_of_file(void **state)
{
    (void)state;
    open_pair();
    say("STAT\r\nQUI");
    shutdown(t.fd, SHUT_WR);
    turns(3);
    got("STAT\r\n");                        /* Q07: half a line does not count */
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.end, CONN_EOF);
    conn_write(t.conn, "still there\r\n", 13);      /* Q08: half closed, it still reads */
    turns(1);
    client_got("still there\r\n");
    assert_int_equal(t.ends, 1);
}

/* Q06: a whole line counts though the client closed or reset right behind it. */
static void line_before_reset(void **state)
{
    (void)state;
    open_tcp();
    say("DELE 1\r\nQUIT\r\n");
    reset_client();
    turns(3);
    got("DELE 1\r\nQUIT\r\n");
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.end, CONN_LOST);
}

static void line_before_close(void **state)
{
    (void)state;
    open_tcp();
    say("QUIT\r\n");
    close(t.fd);
    t.fd = t.from = -1;
    turns(3);
    got("QUIT\r\n");
    assert_int_equal(t.end, CONN_EOF);
}

static void paused(void **state)
{
    (void)state;
    open_pair();
    t.pause_at_line = true;
    say("one\ntwo\nthree\n");
    turns(2);
    got("one\n");
    assert_true(conn_paused(t.conn));
    conn_resume(t.conn);
    got("one\n");                           /* not from within */
    turns(1);
    got("one\ntwo\n");
    say("four\n");
    turns(3);
    got("one\ntwo\n");
    t.pause_at_line = false;
    conn_resume(t.conn);
    turns(2);
    got("one\ntwo\nthree\nfour\n");
    conn_resume(t.conn);                    /* not paused: nothing happens */
    turns(1);
    assert_int_equal(t.inputs, 4);
}

/* N05: what a paused client sends stays in the kernel. */
static void paused_does_not_read(void **state)
{
    (void)state;
    static char many[1 << 20];
    memset(many, '\n', sizeof many);
    open_pair();
    t.pause_at_line = true;
    fcntl(t.fd, F_SETFL, O_NONBLOCK);
    ssize_t sent, total = 0;
    for (int i = 0; i < 100; i++) {
        sent = write(t.fd, many, sizeof many);
        total += sent > 0 ? sent : 0;
        turns(1);
    }
    assert_true(sent < 0);
    assert_true(conn_octets_in(t.conn) <= 65536);
    t.pause_at_line = false;
    conn_resume(t.conn);
    for (int i = 0; i < 1000 && buf_left(&t.got) < (size_t)total; i++)
        turns(1);
    assert_int_equal(buf_left(&t.got), total);
}

static void end_waits_for_resume(void **state)
{
    (void)state;
    open_pair();
    t.pause_at_line = true;
    say("one\nlast\nrest");
    shutdown(t.fd, SHUT_WR);
    turns(3);
    got("one\n");
    assert_int_equal(t.ends, 0);
    conn_resume(t.conn);
    turns(3);
    got("one\nlast\n");
    assert_int_equal(t.ends, 0);
    conn_resume(t.conn);
    turns(3);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.end, CONN_EOF);
    got("one\nlast\n");
}

static void nobody_consumes(void **state)
{
    (void)state;
    static char many[20000];
    memset(many, 'x', sizeof many);
    open_pair();
    t.consume_nothing = true;
    for (int i = 0; i < 10 && t.ends == 0; i++) {
        assert_int_equal(write(t.fd, many, sizeof many), sizeof many);
        turns(3);
    }
    assert_int_equal(t.end, CONN_LOST);
    assert_true(conn_octets_in(t.conn) < 100000);
}

static void freed_at_input(void **state)
{
    (void)state;
    open_pair();
    t.free_at_input = true;
    say("one\ntwo\n");
    turns(2);
    assert_null(t.conn);
    assert_int_equal(t.inputs, 1);
    assert_int_equal(t.ends, 0);
}

static void freed_at_end(void **state)
{
    (void)state;
    open_pair();
    t.free_at_end = true;
    shutdown(t.fd, SHUT_WR);
    turns(2);
    assert_null(t.conn);
    assert_int_equal(t.ends, 1);
}

/* --- kinds of descriptors --- */

static void two_pipes(void **state)
{
    (void)state;
    int to[2], back[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(back), 0);
    int shared_in = dup(to[0]), shared_out = dup(back[1]);
    t.fd = to[1];
    t.from = back[0];
    start(to[0], back[1]);
    assert_string_equal(conn_peer(t.conn), "stdin");
    assert_string_equal(conn_local(t.conn), "stdout");
    t.reply_at_line = true;
    say("one\ntwo\nha");
    turns(2);
    got("one\ntwo\n");
    client_got("+OK\r\n+OK\r\n");
    assert_true(fcntl(shared_in, F_GETFL) & O_NONBLOCK);

    fill(1 << 20);                          /* more than a pipe holds */
    turns(2);
    assert_true(conn_queued(t.conn) > 0);
    static char read_back[1 << 20];
    size_t total = 0;
    for (int i = 0; i < 10000 && total < sizeof read_back; i++) {
        total += client_reads(read_back, sizeof read_back - total);
        turns(1);
    }
    assert_int_equal(total, 1 << 20);

    close(t.fd);
    t.fd = -1;
    turns(2);
    assert_int_equal(t.end, CONN_EOF);
    conn_write(t.conn, "bye\r\n", 5);
    conn_finish(&t.conn, 1000, finished, &t);
    until(&t.done);
    client_got("bye\r\n");
    assert_false(fcntl(shared_in, F_GETFL) & O_NONBLOCK);   /* as they were: a shell has them too */
    assert_false(fcntl(shared_out, F_GETFL) & O_NONBLOCK);
    close(shared_in);
    close(shared_out);
}

static void broken_pipe(void **state)
{
    (void)state;
    int to[2], back[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(back), 0);
    t.fd = to[1];
    start(to[0], back[1]);
    close(back[0]);
    t.reply_at_line = true;
    say("one\n");
    turns(3);
    got("one\n");
    assert_int_equal(t.end, CONN_LOST);
}

/* N08: one-shot mode with files as input and output. */
static void files(void **state)
{
    (void)state;
    FILE *in = tmpfile(), *out = tmpfile();
    enum { LINES = 20000 };
    static char written[LINES * 5 + 1];
    for (int i = 0; i < LINES; i++)
        fputs("NOOP\r\n", in);
    fputs("half", in);
    rewind(in);
    t.reply_at_line = true;
    start(dup(fileno(in)), dup(fileno(out)));
    until(&t.ends);
    assert_int_equal(t.end, CONN_EOF);
    assert_int_equal(buf_left(&t.got), LINES * 6);
    conn_finish(&t.conn, 1000, finished, &t);
    until(&t.done);
    rewind(out);
    assert_int_equal(fread(written, 1, sizeof written, out), LINES * 5);
    fclose(in);
    fclose(out);
}

static void file_with_pause(void **state)
{
    (void)state;
    FILE *in = tmpfile();
    fputs("one\ntwo\n", in);
    rewind(in);
    t.pause_at_line = true;
    start(dup(fileno(in)), open("/dev/null", O_WRONLY));
    turns(5);
    got("one\n");
    conn_resume(t.conn);
    turns(2);
    got("one\ntwo\n");
    assert_int_equal(t.ends, 0);
    conn_resume(t.conn);
    until(&t.ends);
    assert_int_equal(t.end, CONN_EOF);
    fclose(in);
}

/* N09: nothing on standard input at all. */
static void nothing_there(void **state)
{
    (void)state;
    start(open("/dev/null", O_RDONLY), open("/dev/null", O_WRONLY));
    until(&t.ends);
    assert_int_equal(t.end, CONN_EOF);
    conn_free(&t.conn);
    t.ends = 0;
    start(open("/tmp", O_RDONLY), open("/dev/full", O_WRONLY));     /* cannot be read */
    until(&t.ends);
    assert_int_equal(t.end, CONN_LOST);
    conn_free(&t.conn);
    t.ends = 0;
    FILE *in = tmpfile();
    fputs("one\n", in);
    rewind(in);
    t.reply_at_line = true;
    start(dup(fileno(in)), open("/dev/full", O_WRONLY));            /* cannot be written */
    until(&t.ends);
    assert_int_equal(t.end, CONN_LOST);
    got("one\n");
    fclose(in);
}

/* inetd: standard input and output are one socket under two numbers. */
static void one_socket_twice(void **state)
{
    (void)state;
    int server = tcp_pair(AF_INET, &t.fd);
    t.from = t.fd;
    start(server, dup(server));
    t.finish_at_input = true;
    say("QUIT\r\nmore\r\n");
    shutdown(t.fd, SHUT_WR);
    until(&t.done);
    got("QUIT\r\n");
    client_got("+OK bye\r\n");
    assert_int_equal(read(t.fd, &(char){ 0 }, 1), 0);
}

static void names(void **state)
{
    (void)state;
    int server = tcp_pair(AF_INET, &t.fd), on = 0, other;
    socklen_t len = sizeof on;
    t.from = t.fd;
    start(server, server);
    assert_memory_equal(conn_peer(t.conn), "127.0.0.1:", 10);
    assert_memory_equal(conn_local(t.conn), "127.0.0.1:", 10);
    getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, &len);
    assert_true(on);
    assert_false(fcntl(server, F_GETFL) & O_NONBLOCK);
    conn_free(&t.conn);
    server = tcp_pair(AF_INET6, &other);
    if (server >= 0) {
        start(server, server);
        assert_memory_equal(conn_peer(t.conn), "[::1]:", 6);
        conn_free(&t.conn);
        close(other);
    }
    close(t.fd);
    open_pair();
    assert_string_equal(conn_peer(t.conn), "unix");
    assert_string_equal(conn_local(t.conn), "unix");
}

/* N08: an IPv4 client of a socket for both families is shown as what it is. */
static void mapped_name(void **state)
{
    (void)state;
    struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof any;
    const int off = 0;
    int listening = socket(AF_INET6, SOCK_STREAM, 0);
    if (listening < 0 || setsockopt(listening, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0 ||
        bind(listening, (struct sockaddr *)(void *)&any, len) < 0)
        skip();
    listen(listening, 1);
    getsockname(listening, (struct sockaddr *)(void *)&any, &len);
    v4.sin_port = any.sin6_port;
    t.fd = t.from = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(t.fd, (struct sockaddr *)(void *)&v4, sizeof v4), 0);
    int server = accept(listening, NULL, NULL);
    close(listening);
    start(server, server);
    assert_memory_equal(conn_peer(t.conn), "127.0.0.1:", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(lines), T(end_of_file), T(line_before_reset), T(line_before_close), T(paused), T(paused_does_not_read),
        T(end_waits_for_resume), T(nobody_consumes), T(freed_at_input), T(freed_at_end), T(two_pipes), T(broken_pipe),
        T(files), T(file_with_pause), T(nothing_there), T(one_socket_twice), T(names), T(mapped_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
