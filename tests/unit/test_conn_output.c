/* The output of a byte stream: one write, marks, references, a client that is lost, timeouts, the last reply. */
#include "tests/unit/conn_fixture.h"

/* --- output --- */

/* Replies to a batch of commands leave in one write. */
static void one_write(void **state)
{
    (void)state;
    int fds[2];
    char data[100];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);  /* a write is a packet here */
    t.fd = t.from = fds[1];
    start(fds[0], fds[0]);
    t.reply_at_line = true;
    say("one\ntwo\nthree\n");
    turns(2);
    assert_int_equal(recv(t.fd, data, sizeof data, MSG_DONTWAIT), 15);
    conn_write(t.conn, "a", 1);
    conn_write(t.conn, "", 0);
    conn_write(t.conn, "b", 1);
    turns(1);
    assert_int_equal(recv(t.fd, data, sizeof data, MSG_DONTWAIT), 2);
    assert_true(recv(t.fd, data, sizeof data, MSG_DONTWAIT) < 0);
    assert_int_equal(conn_octets_out(t.conn), 17);
}

static void references(void **state)
{
    (void)state;
    static const char body[] = "a body that is not copied\r\n";
    open_pair();
    conn_write(t.conn, "+OK\r\n", 5);
    conn_write_ref(t.conn, body, sizeof body - 1, count_free, &t);
    conn_write(t.conn, ".\r\n", 3);
    conn_write_ref(t.conn, body, 0, count_free, &t);
    assert_int_equal(t.freed, 1);           /* nothing of it is needed */
    assert_int_equal(conn_queued(t.conn), 5 + sizeof body - 1 + 3);
    turns(1);
    assert_int_equal(t.freed, 2);
    client_got("+OK\r\na body that is not copied\r\n.\r\n");
    conn_write_ref(t.conn, body, sizeof body - 1, count_free, &t);
    conn_free(&t.conn);
    assert_int_equal(t.freed, 3);           /* also if the conn ends */
}

static void many_pieces(void **state)
{
    (void)state;
    static char read_back[100000];
    open_pair();
    for (int i = 0; i < 1000; i++) {
        conn_write_ref(t.conn, "0123456789", 10, count_free, &t);
        conn_write(t.conn, "abcdefghij", 10);
    }
    turns(2);
    assert_int_equal(client_reads(read_back, sizeof read_back), 20000);
    assert_int_equal(t.freed, 1000);
    for (size_t i = 0; i < 20000; i += 20)
        assert_memory_equal(read_back + i, "0123456789abcdefghij", 20);
}

/* What a client does not read waits with us, where it is bounded, and not in memory that all sockets of the host share. */
static void kernel_holds_little(void **state)
{
    (void)state;
    const int small = 4096;
    open_tcp();
    setsockopt(t.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    fill(4 << 20);
    turns(20);
    assert_true(conn_octets_out(t.conn) > 0);
    assert_true(conn_octets_out(t.conn) < 512 << 10);
}

/* drained comes after conn_full() said true, once, below the low mark; a client that does not read stops us. */
static void marks(void **state)
{
    (void)state;
    static char read_back[1 << 22];
    open_pair();
    fill(CONN_HIGH);
    assert_false(conn_full(t.conn));
    turns(1);
    assert_int_equal(t.drains, 0);          /* nobody was told that it is full */
    fill(1 << 21);
    assert_true(conn_full(t.conn));
    turns(3);
    assert_int_equal(t.drains, 0);
    assert_true(conn_queued(t.conn) > CONN_LOW);
    size_t total = 0, n;
    t.fill_at_drain = 100000;
    t.fills = 5;
    for (int i = 0; i < 10000 && ((n = client_reads(read_back, sizeof read_back)) > 0 || t.drains < 6); i++) {
        total += n;
        turns(1);
    }
    assert_int_equal(t.drains, 6);
    assert_int_equal(total, CONN_HIGH + (1 << 21) + 5 * 100000);
    assert_int_equal(conn_octets_out(t.conn), total);
}

/* N05, P7: who takes nothing may go on to send; replies are told to stop by the marks. */
static void lost_while_writing(void **state)
{
    (void)state;
    open_tcp();
    fill(10 << 20);
    assert_true(conn_full(t.conn));
    conn_write_ref(t.conn, "x", 1, count_free, &t);
    turns(2);
    assert_true(conn_queued(t.conn) > 0);
    conn_pause(t.conn);
    say("QUIT\r\n");
    reset_client();
    turns(3);
    assert_int_equal(t.ends, 1);            /* told though paused: nobody reads the answers */
    assert_int_equal(t.end, CONN_LOST);
    assert_int_equal(t.freed, 1);
    assert_int_equal(conn_queued(t.conn), 0);
    conn_resume(t.conn);
    conn_write(t.conn, "x", 1);             /* goes nowhere */
    conn_write_ref(t.conn, "x", 1, count_free, &t);
    assert_int_equal(t.freed, 2);
    assert_false(conn_full(t.conn));
    turns(3);
    assert_int_equal(t.inputs, 0);          /* sent by one who vanished while we owed him octets */
    assert_int_equal(t.ends, 1);
}

/* After CONN_EOF the owner is not told of a loss, and does not wait for ever either. */
static void lost_after_eof(void **state)
{
    (void)state;
    open_tcp();
    shutdown(t.fd, SHUT_WR);
    turns(2);
    assert_int_equal(t.end, CONN_EOF);
    fill(10 << 20);
    assert_true(conn_full(t.conn));
    turns(2);
    assert_int_equal(t.drains, 0);
    reset_client();
    turns(3);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.drains, 1);
    assert_int_equal(conn_queued(t.conn), 0);
}

/* --- time --- */

static void timeout(void **state)
{
    (void)state;
    open_pair();
    conn_set_timeout(t.conn, 20);
    conn_pause(t.conn);
    until(&t.ends);
    assert_int_equal(t.end, CONN_TIMEOUT);
    say("STAT\n");
    conn_resume(t.conn);
    turns(3);
    assert_int_equal(t.inputs, 0);          /* after the end no input */
    conn_write(t.conn, "-ERR idle\r\n", 11);
    conn_finish(&t.conn, 1000, finished, &t);
    until(&t.done);
    client_got("-ERR idle\r\n");
    assert_int_equal(t.ends, 1);
}

/* A later timeout replaces an earlier one and the other way round; 0 is never. */
static void timeout_moves(void **state)
{
    (void)state;
    open_pair();
    conn_set_timeout(t.conn, 1);
    conn_set_timeout(t.conn, 3600000);
    usleep(20000);
    turns(3);
    conn_set_timeout(t.conn, 0);
    usleep(20000);
    turns(3);
    assert_int_equal(t.ends, 0);
    conn_set_timeout(t.conn, 3600000);
    conn_set_timeout(t.conn, 5);            /* an earlier one counts though the timer was set for later */
    until(&t.ends);
    assert_int_equal(t.end, CONN_TIMEOUT);
}

/* It sends nothing more and takes nothing: who waits for `drained` gets it. */
static void timeout_after_eof(void **state)
{
    (void)state;
    open_pair();
    shutdown(t.fd, SHUT_WR);
    turns(2);
    assert_int_equal(t.end, CONN_EOF);
    fill(10 << 20);
    assert_true(conn_full(t.conn));
    conn_set_timeout(t.conn, 20);
    until(&t.drains);
    assert_int_equal(t.ends, 1);
    assert_int_equal(conn_queued(t.conn), 0);
}

/* --- finish --- */

static void finish_in_input(void **state)
{
    (void)state;
    open_tcp();
    t.finish_at_input = true;
    say("QUIT\r\n");
    until(&t.done);
    client_got("+OK bye\r\n");
    assert_int_equal(read(t.fd, &(char){ 0 }, 1), 0);   /* and then the end, without a reset */
    assert_int_equal(t.ends, 0);
}

/* Segments that the client's kernel got: tcpi_segs_in, which struct tcp_info of the C library does not have. */
static uint32_t segments(void)
{
    enum { SEGS_IN = 140 };
    unsigned char info[256] = { 0 };
    socklen_t len = sizeof info;
    uint32_t n;

    assert_int_equal(getsockopt(t.fd, IPPROTO_TCP, TCP_INFO, info, &len), 0);
    assert_true(len >= SEGS_IN + sizeof n);
    memcpy(&n, info + SEGS_IN, sizeof n);
    return n;
}

static void finish_in_one_packet(void **state)
{
    (void)state;
    open_tcp();
    uint32_t before = segments();
    conn_write(t.conn, "bye\r\n", 5);
    conn_finish(&t.conn, 1000, finished, &t);
    turns(1);
    assert_int_equal(t.done, 1);
    client_got("bye\r\n");
    char c;
    assert_int_equal(read(t.fd, &c, 1), 0);
    assert_int_equal(segments() - before, 1);
}

static void finish_at_end(void **state)
{
    (void)state;
    open_pair();
    t.finish_at_end = true;
    shutdown(t.fd, SHUT_WR);
    until(&t.done);
    client_got("+OK end\r\n");
}

/* The client still sends when we end: the last reply is not destroyed by a reset. */
static void finish_with_input_pending(void **state)
{
    (void)state;
    static char junk[40000];
    open_tcp();
    t.finish_at_input = true;
    say("QUIT\r\n");
    assert_int_equal(write(t.fd, junk, sizeof junk), sizeof junk);
    turns(5);
    assert_int_equal(t.done, 0);            /* it may send more */
    client_got("+OK bye\r\n");
    assert_int_equal(write(t.fd, junk, 100), 100);
    turns(2);
    assert_int_equal(read(t.fd, &(char){ 0 }, 1), 0);
    close(t.fd);
    t.fd = t.from = -1;
    until(&t.done);
}

/* G11: a flood is read away only so far. */
static void finish_with_flood(void **state)
{
    (void)state;
    static char junk[1 << 20];
    open_pair();
    t.finish_at_input = true;
    fcntl(t.fd, F_SETFL, O_NONBLOCK);
    junk[0] = '\n';
    for (int i = 0; i < 100 && t.done == 0; i++) {
        ssize_t n = send(t.fd, junk, sizeof junk, MSG_NOSIGNAL);
        (void)n;
        turns(1);
    }
    assert_int_equal(t.done, 1);
}

static void finish_gives_up(void **state)
{
    (void)state;
    open_pair();
    fill(10 << 20);
    conn_write_ref(t.conn, "x", 1, count_free, &t);
    conn_finish(&t.conn, 20, finished, &t);
    assert_null(t.conn);
    until(&t.done);
    assert_int_equal(t.freed, 1);
    assert_int_equal(t.ends + t.drains, 0);
}

static void finish_writes_all(void **state)
{
    (void)state;
    static char read_back[1 << 20];
    size_t total = 0;
    open_tcp();
    fill(3000000);
    conn_finish(&t.conn, 60000, finished, &t);
    for (int i = 0; i < 10000 && t.done == 0; i++) {
        turns(1);
        total += client_reads(read_back, sizeof read_back);
    }
    total += client_reads(read_back, sizeof read_back);
    assert_int_equal(t.done, 1);
    assert_int_equal(total, 3000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_write), T(references), T(many_pieces), T(marks), T(kernel_holds_little), T(lost_while_writing), T(lost_after_eof), T(timeout),
        T(timeout_moves), T(timeout_after_eof), T(finish_in_input), T(finish_in_one_packet), T(finish_at_end), T(finish_with_input_pending),
        T(finish_with_flood), T(finish_gives_up), T(finish_writes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
