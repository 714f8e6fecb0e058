/*
 * test_host_port.c - lists of hosts with ports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/host_port.h"

static void lists(void **state)
{
    struct span list = SPAN_OF(" old.example:995,[2001:db8::1]:110  10.0.0.1:1,,x_y-z:65535 "), word;
    struct host_port p;

    (void)state;
    assert_true(host_port_next(&list, &p, &word) == 1 && strcmp(p.host, "old.example") == 0 && p.port == 995);
    assert_true(host_port_next(&list, &p, &word) == 1 && strcmp(p.host, "2001:db8::1") == 0 && p.port == 110);
    assert_true(host_port_next(&list, &p, &word) == 1 && strcmp(p.host, "10.0.0.1") == 0 && p.port == 1);
    assert_true(host_port_next(&list, &p, &word) == 1 && strcmp(p.host, "x_y-z") == 0 && p.port == 65535);
    assert_int_equal(host_port_next(&list, &p, &word), 0);
    list = SPAN_OF("");
    assert_int_equal(host_port_next(&list, &p, &word), 0);
}

static void none(void **state)
{
    static const char *const words[] = {
        "old.example", "old.example:", ":995", ":", "old.example:0", "old.example:65536", "old.example:9x", "::1:110", "[]:110", "[::1]",
        "[::1:110", "a/b:110", "a\"b:1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct span list = span_str(words[i]), word;
        struct host_port p;

        if (host_port_next(&list, &p, &word) != -1 || !span_is(word, span_str(words[i])))
            fail_msg("%s", words[i]);
    }
}

static void has(void **state)
{
    static const char list[] = "old.example:995 nonsense [::1]:110";

    struct host_port p;

    (void)state;
    assert_true(host_port_find(span_str(list), SPAN_OF("OLD.example"), 995, &p));
    assert_string_equal(p.host, "old.example");
    assert_true(host_port_find(span_str(list), SPAN_OF("::1"), 110, &p));
    assert_false(host_port_find(span_str(list), SPAN_OF("old.example"), 110, &p));
    assert_false(host_port_find(span_str(list), SPAN_OF("old.exampl"), 995, &p));
    assert_false(host_port_find(SPAN_OF(""), SPAN_OF(""), 0, &p));
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(host_port_names(SPAN_OF("")), 0);
    assert_int_equal(host_port_names(SPAN_OF("a.example:995 b.example:995,a.example:110 [::1]:1 10.0.0.1:2 what a.example:1 c:3")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(lists), cmocka_unit_test(none), cmocka_unit_test(has),
                                        cmocka_unit_test(names) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
