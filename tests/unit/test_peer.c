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

static struct loop *loop;
static struct peer *peer;
static int other;
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
    char data[PEER_MAX];
    assert_true(peer_send(peer, "one", 3));
    assert_true(peer_send(peer, "two", 3));
    assert_int_equal(peer_receive_blocking(other, data, sizeof data), 3);
    assert_memory_equal(data, "one", 3);
    assert_int_equal(peer_receive_blocking(other, data, sizeof data), 3);
    assert_memory_equal(data, "two", 3);
    assert_true(peer_send_blocking(other, "three", 5));
    assert_true(peer_send_blocking(other, "four", 4));
    turns(3);
    assert_string_equal(got.data, "<three><four>");
}

static void largest(void **state)
{
    (void)state;
    static char data[PEER_MAX], back[PEER_MAX];
    memset(data, 'x', sizeof data);
    assert_true(peer_send(peer, data, sizeof data));
    assert_int_equal(peer_receive_blocking(other, back, sizeof back), PEER_MAX);
    assert_memory_equal(data, back, PEER_MAX);
    assert_true(peer_send(peer, data, 11));
    assert_int_equal(peer_receive_blocking(other, back, 10), 0);    /* too long for the receiver: not half of it */
}

/* The other side takes nothing: bounded, in order, and all arrives when it takes again. */
static void slow(void **state)
{
    (void)state;
    char data[PEER_MAX];
    uint32_t sent = 0, received = 0, value;
    memset(data, 0, sizeof data);
    while (sent < 100000) {
        memcpy(data, &sent, sizeof sent);
        if (!peer_send(peer, data, sizeof data))
            break;
        sent++;
    }
    assert_true(sent > 256 && sent < 100000);
    while (received < sent) {
        assert_int_equal(peer_receive_blocking(other, data, sizeof data), PEER_MAX);
        memcpy(&value, data, sizeof value);
        assert_int_equal(value, received);
        received++;
        turns(1);
    }
    assert_true(peer_send(peer, "again", 5));
    assert_int_equal(peer_receive_blocking(other, data, sizeof data), 5);
}

static void dead(void **state)
{
    (void)state;
    assert_true(peer_send_blocking(other, "last words", 10));
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
        ;
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
    assert_true(peer_send_blocking(other, "x", 1));
    assert_true(peer_send_blocking(other, "y", 1));
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

/* A helper sees the end of its worker; one that sends too much is dropped as if it had gone. */
static void helper_side(void **state)
{
    (void)state;
    static char data[PEER_MAX + 1];
    char in[10];
    assert_int_equal(send(other, data, sizeof data, 0), sizeof data);
    turns(2);
    assert_int_equal(gone, 1);
    peer_free(&peer);
    assert_int_equal(peer_receive_blocking(other, in, sizeof in), 0);
    assert_false(peer_send_blocking(other, "x", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(largest, setup, teardown),
        cmocka_unit_test_setup_teardown(slow, setup, teardown),
        cmocka_unit_test_setup_teardown(dead, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_while_sending, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_in_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_when_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(helper_side, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
