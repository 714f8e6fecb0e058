/* Addresses of clients, and lists of networks. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "daemon/base/mem.h"
#include "daemon/base/network.h"

static const char *cut(const char *peer, unsigned prefix)
{
    static char text[NETWORK_TEXT_SIZE];
    struct network_address a;

    assert_true(network_of_peer(peer, &a));
    network_cut(&a, prefix);
    network_text(&a, prefix, text);
    return text;
}

static void peers(void **state)
{
    struct network_address a;

    (void)state;
    assert_string_equal(cut("192.0.2.1:4242", 64), "192.0.2.1");
    assert_string_equal(cut("[2001:db8:1:2:3:4:5:6]:4242", 64), "2001:db8:1:2::/64");
    assert_string_equal(cut("[2001:db8:1:2:3:4:5:6]:4242", 56), "2001:db8:1::/56");
    assert_string_equal(cut("[2001:db8:1:ff7f:3:4:5:6]:4242", 57), "2001:db8:1:ff00::/57");
    assert_string_equal(cut("[2001:db8::6]:4242", 128), "2001:db8::6");
    assert_string_equal(cut("[::ffff:192.0.2.1]:4242", 64), "192.0.2.1");
    assert_string_equal(cut("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 127), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127");
    assert_false(network_of_peer("unix", &a));
    assert_false(network_of_peer("stdin", &a));
    assert_false(network_of_peer("", &a));
    assert_false(network_of_peer("[::1", &a));
    assert_false(network_of_peer("300.1.1.1:5", &a));
}

/* Of what the kernel and a proxy tell. */
static void addresses(void **state)
{
    static const struct { const char *text; int family; const char *peer; bool loopback; } rows[] = {
        { "192.0.2.1", AF_INET, "192.0.2.1:4242", false }, { "127.9.9.9", AF_INET, "127.9.9.9:4242", true },
        { "2001:db8::1", AF_INET6, "[2001:db8::1]:4242", false }, { "::1", AF_INET6, "[::1]:4242", true },
        { "::ffff:127.0.0.1", AF_INET6, "127.0.0.1:4242", true }, { "::ffff:10.0.0.1", AF_INET6, "10.0.0.1:4242", false },
        { "::", AF_INET6, "[::]:4242", false }, { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", AF_INET6,
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:4242", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        union {
            struct sockaddr_storage any;
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        } from = { .any.ss_family = (sa_family_t)rows[i].family };
        void *octets = rows[i].family == AF_INET ? (void *)&from.in.sin_addr : (void *)&from.in6.sin6_addr;
        struct network_address a, b;
        char text[NETWORK_PEER_SIZE];
        unsigned port = 0;

        assert_int_equal(inet_pton(rows[i].family, rows[i].text, octets), 1);
        from.in.sin_port = htons(4242);         /* in the same place in both */
        assert_true(network_of_sockaddr(&from.any, &a, &port));
        assert_int_equal(port, 4242);
        assert_int_equal(network_is_loopback(&a), rows[i].loopback);
        network_peer(&a, port, text);
        assert_string_equal(text, rows[i].peer);
        assert_true(network_of_peer(text, &b));
        assert_memory_equal(&a, &b, sizeof a);
        b = network_of_octets(rows[i].family, octets);
        assert_memory_equal(&a, &b, sizeof a);
        assert_true(network_is_address(rows[i].text));
        assert_false(network_is_address(rows[i].peer));
    }
    struct sockaddr_storage unix_socket = { .ss_family = AF_UNIX };
    struct network_address a;
    unsigned port;
    assert_false(network_of_sockaddr(&unix_socket, &a, &port));
    assert_false(network_is_address(""));
    assert_false(network_is_address("10.0.0.0/8"));
    assert_false(network_is_address("::1%lo"));
}

static bool has(const char *text, const char *peer)
{
    struct network_address a;
    char *error = NULL;
    struct network_list *list = network_list_new(text, &error);

    assert_non_null(list);
    assert_true(network_of_peer(peer, &a));
    bool result = network_list_has(list, &a);
    network_list_free(&list);
    return result;
}

static void lists(void **state)
{
    (void)state;
    assert_false(has("", "127.0.0.1:1"));
    assert_true(has("127.0.0.0/8 ::1", "127.9.9.9:1"));
    assert_true(has("127.0.0.0/8, ::1", "[::1]:1"));
    assert_false(has("127.0.0.0/8 ::1", "128.0.0.1:1"));
    assert_true(has("10.1.2.128/25", "10.1.2.200:1"));
    assert_false(has("10.1.2.128/25", "10.1.2.127:1"));
    assert_true(has("2001:db8::/33", "[2001:db8:7fff::1]:1"));
    assert_false(has("2001:db8::/33", "[2001:db8:8000::1]:1"));
    assert_true(has("0.0.0.0/0", "10.1.2.127:1"));
    assert_false(has("0.0.0.0/0", "[2001:db8::1]:1"));
    assert_true(has("::/0", "[2001:db8::1]:1"));
}

static void wrong(void **state)
{
    static const char *const words[] = { "x", "1.2.3", "1.2.3.4/33", "::1/129", "1.2.3.4/", "1.2.3.4 /8", "localhost" };

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char *error = NULL;

        assert_null(network_list_new(words[i], &error));
        assert_non_null(strstr(error, "is not an address or a network"));
        mem_drop(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(peers), cmocka_unit_test(addresses), cmocka_unit_test(lists), cmocka_unit_test(wrong) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
