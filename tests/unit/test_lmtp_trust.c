/*
 * Who may deliver, over real sockets: loopback addresses of both families, a
 * unix socket, a pipe.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/mem.h"
#include "daemon/session/trust.h"

static struct trust *must(const char *allow)
{
    char *error = NULL;
    struct trust *trust = trust_new(allow, &error);
    if (trust == NULL)
        print_error("%s\n", error);
    assert_non_null(trust);
    assert_null(error);
    return trust;
}

static void test_words(void **state)
{
    static const char *const good[] = {
        "", " ", "192.0.2.1", "10.0.0.0/8", "::1", "2001:db8::/32 192.0.2.0/24", "user:root", "user:0, 127.0.0.1", "0.0.0.0/0",
    };
    static const char *const bad[] = {
        "example.org", "10.0.0.0/33", "::1/129", "10.0.0.0/", "/8", "user:", "user:no-such-user-here", "10.0.0", "10.0.0.0/8/8",
        "1234567890123456789012345678901234567890123456789012345678901234567890",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct trust *trust = must(good[i]);
        trust_free(&trust);
        assert_null(trust);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *error = NULL;
        assert_null(trust_new(bad[i], &error));
        assert_non_null(strchr(error, '"'));
        mem_drop(&error);
    }
}

/* The accepted end of a connection from `from` to itself; -1 where the machine does not have it. */
static int accepted_from(const char *from)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr *address = (struct sockaddr *)(void *)&in;
    socklen_t len = sizeof in;

    if (inet_pton(AF_INET, from, &in.sin_addr) != 1) {
        assert_int_equal(inet_pton(AF_INET6, from, &in6.sin6_addr), 1);
        address = (struct sockaddr *)(void *)&in6;
        len = sizeof in6;
    }
    int door = socket(address->sa_family, SOCK_STREAM, 0);
    if (door < 0 || bind(door, address, len) != 0)
        return -1;
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, address, &len), 0);
    int client = socket(address->sa_family, SOCK_STREAM, 0);
    assert_int_equal(connect(client, address, len), 0);
    int fd = accept(door, NULL, NULL);
    assert_true(fd >= 0);
    close(door);
    close(client);
    return fd;
}

static void expect(const char *allow, int fd, bool want)
{
    struct trust *trust = must(allow);
    if (trust_allows(trust, fd) != want)
        print_error("allow=\"%s\"\n", allow);
    assert_int_equal(trust_allows(trust, fd), want);
    trust_free(&trust);
}

static void test_ipv4(void **state)
{
    int fd = accepted_from("127.0.0.1");

    (void)state;
    expect("", fd, true);
    expect("user:0", fd, true);             /* users are for unix sockets */
    expect("127.0.0.1", fd, true);
    expect("10.0.0.0/8 127.0.0.1/32", fd, true);
    expect("127.0.0.0/31", fd, true);
    expect("127.0.0.2/31", fd, false);
    expect("127.0.0.0/32", fd, false);
    expect("10.0.0.0/8", fd, false);        /* a list says all: this host itself is not in it */
    expect("0.0.0.0/0", fd, true);
    expect("::ffff:127.0.0.1", fd, true);
    expect("::1", fd, false);
    close(fd);
}

static void test_ipv6(void **state)
{
    int fd = accepted_from("::1");

    (void)state;
    if (fd < 0)
        return;
    expect("", fd, true);
    expect("::1", fd, true);
    expect("127.0.0.1", fd, false);
    expect("0.0.0.0/0", fd, false);
    expect("::/0", fd, true);
    expect("2001:db8::/32", fd, false);
    close(fd);
}

static void test_unix(void **state)
{
    int pair[2];
    char me[32], other[32];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    snprintf(me, sizeof me, "user:%u", (unsigned)getuid());
    snprintf(other, sizeof other, "user:%u", (unsigned)getuid() + 1);
    expect("", pair[0], true);
    expect("192.0.2.1", pair[0], true);     /* networks are for TCP: the mode decides */
    expect(me, pair[0], true);
    expect(other, pair[0], false);
    close(pair[0]);
    close(pair[1]);
}

static void test_pipe(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    expect("user:12345", fds[0], true);
    close(fds[0]);
    close(fds[1]);
}

/* Told by a proxy: only a network lets it in. */
static void test_told(void **state)
{
    static const struct {
        const char *allow, *peer;
        bool want;
    } rows[] = {
        { "", "127.0.0.1:4242", false }, { "", "192.0.2.1:4242", false }, { "user:0", "127.0.0.1:4242", false },
        { "192.0.2.0/24", "192.0.2.1:4242", true }, { "192.0.2.0/24", "192.0.3.1:4242", false },
        { "2001:db8::/32", "[2001:db8::1]:4242", true }, { "0.0.0.0/0 ::/0", "unix", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trust *trust = must(rows[i].allow);

        assert_int_equal(trust_allows_peer(trust, rows[i].peer), rows[i].want);
        trust_free(&trust);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
