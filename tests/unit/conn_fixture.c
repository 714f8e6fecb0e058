/* conn_fixture.c - see conn_fixture.h. */
#include "tests/unit/conn_fixture.h"

struct conn_test t;

void finished(void *arg)
{
    assert_ptr_equal(arg, &t);
    t.done++;
}

static size_t on_input(void *owner, struct span in)
{
    size_t used = 0;
    const char *end;
    assert_ptr_equal(owner, &t);
    assert_true(in.len > 0);
    assert_false(conn_paused(t.conn));
    assert_false(t.busy);       /* never from within a call of the owner's */
    t.inputs++;
    if (t.free_at_input) {
        conn_free(&t.conn);
        return 0;
    }
    if (t.consume_nothing)
        return 0;
    while (used < in.len && (end = memchr(in.at + used, '\n', in.len - used)) != NULL) {
        size_t line = (size_t)(end - in.at) - used + 1;
        buf_add(&t.got, in.at + used, line);
        used += line;
        t.busy = true;
        if (t.reply_at_line)
            conn_write(t.conn, "+OK\r\n", 5);
        if (t.pause_at_line)
            conn_pause(t.conn);
        if (t.finish_at_input) {
            conn_write(t.conn, "+OK bye\r\n", 9);
            conn_finish(&t.conn, 1000, finished, &t);
        }
        t.busy = false;
        if (t.pause_at_line || t.finish_at_input)
            break;
    }
    return used;
}

void fill(size_t len)
{
    static const char octets[65536] = { 'x' };
    for (size_t n; len > 0; len -= n) {
        n = len < sizeof octets ? len : sizeof octets;
        conn_write(t.conn, octets, n);
    }
}

static void on_drained(void *owner)
{
    assert_ptr_equal(owner, &t);
    assert_false(t.busy);
    assert_true(conn_queued(t.conn) < CONN_LOW);
    t.drains++;
    if (t.fills > 0) {
        t.fills--;
        fill(t.fill_at_drain);
        (void)conn_full(t.conn);
    }
}

static void on_end(void *owner, enum conn_end why)
{
    assert_ptr_equal(owner, &t);
    assert_false(t.busy);
    t.ends++;
    t.end = (int)why;
    if (t.free_at_end)
        conn_free(&t.conn);
    else if (t.finish_at_end) {
        conn_write(t.conn, "+OK end\r\n", 9);
        conn_finish(&t.conn, 1000, finished, &t);
    }
}

static const struct conn_protocol protocol = { .input = on_input, .drained = on_drained, .end = on_end };

void stop(void *arg)
{
    loop_stop(arg);
}

void turns(int n)
{
    while (n-- > 0) {
        loop_defer(t.loop, stop, t.loop);
        loop_run(t.loop);
    }
}

void until(const int *what)
{
    for (int i = 0; i < 10000 && *what == 0; i++) {
        turns(1);
        if (*what == 0)
            usleep(1000);
    }
    assert_true(*what != 0);
}

int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    t.end = NOT_ENDED;
    t.fd = t.from = -1;
    t.loop = loop_new();
    return 0;
}

int teardown(void **state)
{
    (void)state;
    conn_free(&t.conn);
    loop_free(&t.loop);
    if (t.fd >= 0)
        close(t.fd);
    if (t.from >= 0 && t.from != t.fd)
        close(t.from);
    buf_free(&t.got);
    return 0;
}

void start(int in, int out)
{
    t.conn = conn_new(t.loop, in, out, &protocol, &t);
}

void open_pair(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    t.fd = t.from = fds[1];
    start(fds[0], fds[0]);
}

int tcp_pair(int family, int *client_r)
{
    struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
    socklen_t len = sizeof address;
    int listening = socket(family, SOCK_STREAM, 0);
    if (family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&address)->sin6_addr = in6addr_loopback;
    if (bind(listening, (struct sockaddr *)(void *)&address, len) < 0) {
        close(listening);
        return -1;
    }
    listen(listening, 1);
    getsockname(listening, (struct sockaddr *)(void *)&address, &len);
    *client_r = socket(family, SOCK_STREAM, 0);
    assert_int_equal(connect(*client_r, (struct sockaddr *)(void *)&address, len), 0);
    int server = accept(listening, NULL, NULL);
    close(listening);
    return server;
}

void open_tcp(void)
{
    int server = tcp_pair(AF_INET, &t.fd);
    assert_true(server >= 0);
    t.from = t.fd;
    start(server, server);
}

void reset_client(void)
{
    const struct linger now = { 1, 0 };
    setsockopt(t.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(t.fd);
    t.fd = t.from = -1;
}

void say(const char *text)
{
    assert_int_equal(write(t.fd, text, strlen(text)), strlen(text));
}

void got(const char *expected)
{
    assert_string_equal(buf_left(&t.got) > 0 ? t.got.data : "", expected);
}

size_t client_reads(char *data, size_t size)
{
    struct pollfd p = { .fd = t.from, .events = POLLIN };
    size_t len = 0;
    while (len < size && poll(&p, 1, 0) == 1) {
        ssize_t n = read(t.from, data + len, size - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len;
}

void client_got(const char *expected)
{
    char data[256];
    size_t n = client_reads(data, sizeof data - 1);
    data[n] = '\0';
    assert_string_equal(data, expected);
}

void count_free(void *arg)
{
    assert_ptr_equal(arg, &t);
    t.freed++;
}
