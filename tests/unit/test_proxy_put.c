/*
 * test_proxy_put.c - PROXY headers that we say: what proxy.c reads of them is what was meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/net/proxy.h"
#include "daemon/net/proxy_put.h"

static void both_ways(void **state)
{
    static const struct {
        const char *peer, *local;
        bool known[3];          /* by version */
    } rows[] = {
        { "192.0.2.1:4242", "198.51.100.2:110", { false, true, true } },
        { "[2001:db8::1]:1", "[2001:db8::2]:65535", { false, true, true } },
        { "192.0.2.1:4242", "[2001:db8::2]:995", { false, false, true } },
        { "unix", "unix", { false, false, false } }, { "stdin", "stdout", { false, false, false } },
        { "gone", "127.0.0.1:110", { false, false, false } },
    };
    char out[PROXY_PUT_MAX];
    struct proxy_origin o;
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int version = 1; version <= 2; version++) {
            size_t len = proxy_put(version, rows[i].peer, rows[i].local, out);

            assert_true(len <= sizeof out);
            memset(&o, 0, sizeof o);
            assert_int_equal(proxy_parse((struct span){ out, len }, &o, &why), (int)len);
            assert_int_equal(o.known, rows[i].known[version]);
            if (!o.known)
                continue;
            assert_string_equal(o.peer, rows[i].peer);
            assert_string_equal(o.local, rows[i].local);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
