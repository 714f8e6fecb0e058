/* Messages between worker and helper: borders, order, a slow and a dead other side. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/buf.h"
#include "daemon/net/loop.h"
#include "daemon/net/peer.h"
#include "tests/unit/packets.h"

static struct loop *loop;
static struct peer *peer;
static int other;
static struct packet in;
static struct buf got;
static int gone;
static bool free_in_callback;

static void on_message(void *arg, const unsigned char *data, size_t len)
{
    assert_ptr_equal(arg, &got);
    buf_addf(&got, "<%.*s>", (int)len, (const char *)data);
    if (free_in_callback)
        peer_free(&peer);
}

static void on_gone(void *arg)
{
    assert_ptr_equal(arg, &got);
    gone++;
    if (free_in_callback)
        peer_free(&peer);
}

static int setup(void **state)
{
    int fds[2];
    (void)state;
    gone = 0;
    in.at = in.len = 0;
    free_in_callback = false;
    loop = loop_new();
    if (peer_pair(fds) < 0)
        return -1;
    other = fds[1];
    peer = peer_new(loop, fds[0], on_message, on_gone, &got);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_free(&peer);
    loop_free(&loop);
    close(other);
    buf_free(&got);
    return 0;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turns(int n)
{
    while (n-- > 0) {
        loop_defer(loop, stop, loop);
        loop_run(loop);
    }
}

static void both_ways(void **state)
{
    (void)state;
    unsigned char data[PEER_MAX];
    assert_true(peer_send(peer, "one", 3));
    assert_true(peer_send(peer, "two", 3));
    turns(1);
    assert_int_equal(next_message(other, &in, data, sizeof data), 3);
    assert_memory_equal(data, "one", 3);
    assert_int_equal(next_message(other, &in, data, sizeof data), 3);
    assert_memory_equal(data, "two", 3);
    assert_true(send_message(other, "three", 5));
    assert_true(send_message(other, "four", 4));
    turns(3);
    assert_string_equal(got.data, "<three><four>");
}

/* What one turn says is one packet, in either direction; and one read takes the packets of several turns. */
static void together(void **state)
{
    static struct packet packets[PACKETS_MAX], out;
    const unsigned char *data;
    size_t len;
    (void)state;

    for (int turn = 0; turn < PACKETS_MAX + 1; turn++) {
        for (char c = 'a'; c < 'd'; c++)
            assert_true(peer_send(peer, &c, 1));
        turns(1);
    }
    assert_int_equal(packets_receive(other, packets, PACKETS_MAX), PACKETS_MAX);
    for (int i = 0; i < PACKETS_MAX; i++) {
        for (char c = 'a'; c < 'd'; c++)
            assert_true(packet_next(&packets[i], &data, &len) && len == 1 && data[0] == c);
        assert_false(packet_next(&packets[i], &data, &len));
        packet_rewind(&packets[i]);
        assert_true(packet_next(&packets[i], &data, &len) && data[0] == 'a');
    }
    assert_int_equal(packets_receive(other, packets, PACKETS_MAX), 1);
    assert_true(packet_send(other, &out));          /* nothing: not sent, it would be read as an end */
    assert_true(packet_add(&out, "five", 4) && packet_add(&out, "six", 3));
    assert_true(packet_send(other, &out));
    assert_int_equal(out.len, 0);
    assert_int_equal(out.data[PACKET_HEAD], 0);     /* wiped */
    turns(2);
    assert_string_equal(got.data, "<five><six>");
}

/* Two of the largest are more than a packet holds. */
static void largest(void **state)
{
    (void)state;
    static unsigned char data[PEER_MAX], back[PEER_MAX];
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 3; i++) {
        data[0] = (unsigned char)i;
        assert_true(peer_send(peer, data, sizeof data));
    }
    turns(1);
    for (int i = 0; i < 3; i++) {
        data[0] = (unsigned char)i;
        assert_int_equal(next_message(other, &in, back, sizeof back), PEER_MAX);
        assert_memory_equal(data, back, PEER_MAX);
    }
    assert_int_equal(recv(other, back, 1, MSG_DONTWAIT), -1);
}

/* The other side takes nothing: bounded, in order, and all arrives when it takes again. */
static void slow(void **state)
{
    (void)state;
    unsigned char data[PEER_MAX];
    uint32_t sent = 0, received = 0, value;
    memset(data, 0, sizeof data);
    while (sent < 100000) {
        memcpy(data, &sent, sizeof sent);
        if (!peer_send(peer, data, sizeof data))
            break;
        sent++;
        if (sent % 2 == 0)
            turns(1);
    }
    assert_true(sent > 256 && sent < 100000);
    while (received < sent) {
        turns(1);
        assert_int_equal(next_message(other, &in, data, sizeof data), PEER_MAX);
        memcpy(&value, data, sizeof value);
        assert_int_equal(value, received);
        received++;
    }
    assert_true(peer_send(peer, "again", 5));
    turns(1);
    assert_int_equal(next_message(other, &in, data, sizeof data), 5);
}

/* Neither side takes what is no packet, nor what is too long for one. */
static void no_packets(void **state)
{
    static const struct { const char *octets; size_t len; } rows[] = {
        { "x", 1 }, { "\0\0", 2 }, { "\1\0", 2 }, { "\2\0x", 3 }, { "\1\0xx", 4 }, { "\1\0x\1\0", 5 }, { "\1\0x\377\377xx", 7 },
    };
    static struct packet packets[2];
    static char lengthy[PACKET_MAX + 1] = "\1\0x";
    (void)state;

    for (size_t i = 0; i <= sizeof rows / sizeof rows[0]; i++) {
        bool last = i == sizeof rows / sizeof rows[0];
        const char *octets = last ? lengthy : rows[i].octets;
        size_t len = last ? sizeof lengthy : rows[i].len;
        int fds[2];
        struct peer *p;

        assert_int_equal(peer_pair(fds), 0);
        p = peer_new(loop, fds[0], on_message, on_gone, &got);
        gone = 0;
        assert_int_equal(send(fds[1], octets, len, 0), (long)len);
        turns(2);
        assert_int_equal(gone, 1);
        peer_free(&p);
        close(fds[1]);

        assert_int_equal(peer_pair(fds), 0);
        assert_int_equal(send(fds[1], "\1\0x", 3, 0), 3);
        assert_int_equal(send(fds[1], octets, len, 0), (long)len);
        assert_int_equal(packets_receive(fds[0], packets, 2), 0);
        close(fds[0]);
        close(fds[1]);
    }
    assert_int_equal(got.len, 0);
}

static void dead(void **state)
{
    (void)state;
    assert_true(send_message(other, "last words", 10));
    close(other);
    other = -1;
    turns(3);
    assert_string_equal(got.data, "<last words>");
    assert_int_equal(gone, 1);
    assert_false(peer_send(peer, "x", 1));
    turns(2);
    assert_int_equal(gone, 1);
}

static void dead_while_sending(void **state)
{
    (void)state;
    static char data[PEER_MAX];
    while (peer_send(peer, data, sizeof data))
        turns(1);
    close(other);
    other = -1;
    turns(3);
    assert_int_equal(gone, 1);              /* what was queued is freed with the peer */
    assert_false(peer_send(peer, "x", 1));
}

static void freed_in_callback(void **state)
{
    (void)state;
    free_in_callback = true;
    assert_true(send_message(other, "x", 1));
    assert_true(send_message(other, "y", 1));
    turns(3);
    assert_string_equal(got.data, "<x>");
    assert_int_equal(gone, 0);
}

static void freed_when_gone(void **state)
{
    (void)state;
    free_in_callback = true;
    close(other);
    other = -1;
    turns(3);
    assert_int_equal(gone, 1);
    assert_null(peer);
}

/* A helper sees the end of its worker, behind what that said last. */
static void helper_side(void **state)
{
    static struct packet packets[2];
    (void)state;
    assert_true(peer_send(peer, "last", 4));
    turns(1);
    peer_free(&peer);
    assert_int_equal(packets_receive(other, packets, 2), 1);
    assert_int_equal(packets_receive(other, packets, 2), 0);
    assert_false(send_message(other, "x", 1));
}

/* What was to be said in this turn is not, and nothing is touched that is freed. */
static void freed_before_it_was_sent(void **state)
{
    unsigned char data[10];
    (void)state;
    assert_true(peer_send(peer, "x", 1));
    peer_free(&peer);
    turns(2);
    assert_int_equal(next_message(other, &in, data, sizeof data), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(together, setup, teardown),
        cmocka_unit_test_setup_teardown(largest, setup, teardown),
        cmocka_unit_test_setup_teardown(no_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_before_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(slow, setup, teardown),
        cmocka_unit_test_setup_teardown(dead, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_while_sending, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_in_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_when_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(helper_side, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
