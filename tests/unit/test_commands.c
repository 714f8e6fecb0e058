/*
 * test_commands.c - the verbs of the control socket, with a master that the test
 * plays: what each asks of it, what the operator is told, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/control/commands.c"
#include "daemon/control/operator.c"

static bool stopping, reloads;
static char asked[256];             /* what the master was asked, a word each */

static void note(void *arg, const char *what)
{
    assert_ptr_equal(arg, asked);
    snprintf(asked + strlen(asked), sizeof asked - strlen(asked), "%s ", what);
}

static bool is_stopping(void *arg)
{
    assert_ptr_equal(arg, asked);
    return stopping;
}

static bool reload(void *arg, struct span *told_r, unsigned *cells_r)
{
    note(arg, "reload");
    *told_r = reloads ? SPAN_OF("") : SPAN_OF("x.conf:1: no\n");
    *cells_r = 3;
    return reloads;
}

static uint64_t drain_time(void *arg)
{
    note(arg, "drain_time");
    return 30000;
}

static void drain(void *arg, uint64_t ms)
{
    char text[32];

    snprintf(text, sizeof text, "drain=%llu", (unsigned long long)ms);
    note(arg, text);
}

static void upgrade(void *arg, int operator)
{
    note(arg, "upgrade");
    operator_sayf(operator, "OK later");
}

static unsigned post(void *arg, const struct order *order, int passed)
{
    char text[TRACED_SUBJECT_SIZE + 64];

    snprintf(text, sizeof text, "%s=%s,%llu,%s", order->what == ORDER_KICK ? "kick" : "trace", order->subject,
             (unsigned long long)order->until, passed >= 0 ? "passed" : "alone");
    note(arg, text);
    return 2;
}

static const struct command_calls calls = {
    .stopping = is_stopping, .reload = reload, .drain_time = drain_time, .drain = drain, .upgrade = upgrade, .post = post,
};

/* One command, at 5000 ms: what the operator is told, and in `asked` what the master was asked. */
static const char *told(const char *line)
{
    static char answer[65536];
    struct commands commands = { &calls, asked };
    char text[CONTROL_LINE], *words[CONTROL_WORDS];
    size_t count = 0;
    ssize_t n;
    int ends[2];

    asked[0] = '\0';
    snprintf(text, sizeof text, "%s", line);
    assert_true(split(text, words, &count));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    commands_run(&commands, ends[0], words, count, 5000);
    close(ends[0]);
    n = read(ends[1], answer, sizeof answer - 1);
    assert_true(n >= 0);
    answer[n] = '\0';
    close(ends[1]);
    return answer;
}

static void test_verbs(void **state)
{
    static const struct { bool reloads; const char *line, *answer, *asked; } cases[] = {
        { true, "reload", "OK reloaded, 3 cells with the new configuration\n", "reload " },
        { false, "reload", "ERR the old configuration stays in effect:\nx.conf:1: no\n", "reload " },
        { true, "drain", "OK draining, sessions have 30 s to finish\n", "drain_time drain=30000 " },
        { true, "drain 5", "OK draining, sessions have 5 s to finish\n", "drain_time drain=5000 " },
        { true, "upgrade", "OK later\n", "upgrade " },
        { true, "log-level warning", "OK log level is warning until the next reload\n", "" },
        { true, "kick anna@example.org", "OK 2\n", "kick=anna@example.org,0,passed " },
        { true, "trace anna@example.org 60", "OK traced for 60 s\n", "trace=anna@example.org,65000,alone " },
        { true, "trace anna@example.org 0", "OK no longer traced\n", "trace=anna@example.org,0,alone " },
    };

    (void)state;
    stopping = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        reloads = cases[i].reloads;
        assert_string_equal(told(cases[i].line), cases[i].answer);
        assert_string_equal(asked, cases[i].asked);
    }
    assert_memory_equal(told("status"), "OK\n# HELP", 9);
}

/* Refused before the master does anything. */
static void test_refused(void **state)
{
    static const struct { const char *line, *answer; } cases[] = {
        { "reloads", "ERR unknown command\n" }, { "RELOAD", "ERR unknown command\n" },
        { "reload now", "ERR wrong arguments for reload\n" }, { "kick", "ERR wrong arguments for kick\n" },
        { "drain soon", "ERR drain [SECONDS]\n" }, { "drain 604801", "ERR drain [SECONDS]\n" },
        { "log-level loud", "ERR log-level error|warning|info|debug\n" },
        { "log-level Info", "ERR log-level error|warning|info|debug\n" },
        { "trace anna@example.org -1", "ERR trace ADDRESS|PEER|NETWORK SECONDS\n" },
    };

    (void)state;
    stopping = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(told(cases[i].line), cases[i].answer);
        assert_null(strstr(asked, "="));
    }
}

/* A master that stops can be watched, and hurried, but neither reloads nor upgrades. */
static void test_while_stopping(void **state)
{
    (void)state;
    stopping = true;
    assert_string_equal(told("reload"), "ERR posternd is stopping\n");
    assert_string_equal(told("upgrade"), "ERR posternd is stopping\n");
    assert_string_equal(asked, "");
    assert_string_equal(told("drain 0"), "OK draining, sessions have 0 s to finish\n");
    assert_string_equal(asked, "drain_time drain=0 ");
    assert_string_equal(told("kick 1234"), "OK 2\n");
    assert_memory_equal(told("status"), "OK\n", 3);
}

static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    return metrics_share() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_while_stopping),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
