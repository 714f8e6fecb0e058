/* What a POP3 server may say to an import: addresses, replies, lists, dots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/pop3/address.c"
#include "admin/pop3/parse.c"
#include "admin/pop3/unstuff.c"
#include "daemon/base/buf.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *text, *host, *port;
        bool tls;
    } good[] = {
        { "pops://old.example", "old.example", "995", true }, { "pop://Old.Example", "old.example", "110", false },
        { "POPS://old.example:1995/", "old.example", "1995", true }, { "pop://127.0.0.1:11", "127.0.0.1", "11", false },
        { "pops://[2001:DB8::1]", "2001:db8::1", "995", true }, { "pops://[::1]:2", "::1", "2", true },
        { "pop://[fe80::1%eth0]", "fe80::1%eth0", "110", false },
    };
    static const char *const bad[] = {
        "", "old.example", "pop3://x", "imaps://x", "pops://", "pops:///", "pops://x:", "pops://x:0", "pops://x:65536", "pops://x:1x",
        "pops://u@x", "pops://u:p@x", "pops://x/inbox", "pops://[::1", "pops://[]", "pops://a b", "pops://x\n", "pops://::1",
    };
    struct pop3_address a;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const char *fault = pop3_address(good[i].text, &a);

        if (fault != NULL)
            fail_msg("%s %s", good[i].text, fault);
        assert_string_equal(a.host, good[i].host);
        assert_string_equal(a.port, good[i].port);
        assert_int_equal(a.tls, good[i].tls);
        pop3_address_free(&a);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (pop3_address(bad[i], &a) == NULL)
            fail_msg("%s", bad[i]);
}

static void test_replies(void **state)
{
    static const struct {
        const char *line;
        enum pop3_status status;
        const char *code, *text;
        enum pop3_code meaning;
        unsigned seconds;
    } rows[] = {
        { "+OK", POP3_OK, "", "", POP3_CODE_NONE, 0 },
        { "+ok ready <1@x>", POP3_OK, "", "ready <1@x>", POP3_CODE_NONE, 0 },
        { "+OK [x] y", POP3_OK, "", "[x] y", POP3_CODE_NONE, 0 },
        { "-ERR", POP3_ERR, "", "", POP3_CODE_NONE, 0 },
        { "-ERR no", POP3_ERR, "", "no", POP3_CODE_NONE, 0 },
        { "-ERR [IN-USE] locked", POP3_ERR, "IN-USE", "locked", POP3_CODE_LATER, 0 },
        { "-ERR [sys/temp]  wait", POP3_ERR, "sys/temp", "wait", POP3_CODE_LATER, 0 },
        { "-ERR [SYS/PERM] never", POP3_ERR, "SYS/PERM", "never", POP3_CODE_NEVER, 0 },
        { "-ERR [AUTH] who?", POP3_ERR, "AUTH", "who?", POP3_CODE_AUTH, 0 },
        { "-ERR [LOGIN-DELAY] wait", POP3_ERR, "LOGIN-DELAY", "wait", POP3_CODE_LATER, 0 },
        { "-ERR [LOGIN-DELAY 60] wait", POP3_ERR, "LOGIN-DELAY 60", "wait", POP3_CODE_LATER, 60 },
        { "-ERR [LOGIN-DELAY 99999999999999999999] x", POP3_ERR, "LOGIN-DELAY 99999999999999999999", "x", POP3_CODE_LATER, 86400 },
        { "-ERR [LOGIN-DELAY x]", POP3_ERR, "LOGIN-DELAY x", "", POP3_CODE_LATER, 0 },
        { "-ERR [IN-USE", POP3_ERR, "", "[IN-USE", POP3_CODE_NONE, 0 },
        { "-ERR []", POP3_ERR, "", "", POP3_CODE_NONE, 0 },
        { "+", POP3_CHALLENGE, "", "", POP3_CODE_NONE, 0 },
        { "+ ", POP3_CHALLENGE, "", "", POP3_CODE_NONE, 0 },
        { "+O", POP3_NONSENSE, "", "", POP3_CODE_NONE, 0 },
        { "", POP3_NONSENSE, "", "", POP3_CODE_NONE, 0 },
        { "220 smtp.example", POP3_NONSENSE, "", "", POP3_CODE_NONE, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pop3_reply r = pop3_reply(span_str(rows[i].line));
        unsigned seconds;

        if (r.status != rows[i].status || !span_is(r.code, span_str(rows[i].code)) || !span_is(r.text, span_str(rows[i].text)) ||
            pop3_code(&r, &seconds) != rows[i].meaning || seconds != rows[i].seconds)
            fail_msg("%s", rows[i].line);
    }
}

static void test_lists(void **state)
{
    struct span rest;
    uint32_t number;
    uint64_t octets;

    (void)state;
    assert_true(pop3_numbered(SPAN_OF("1 120"), &number, &rest) && number == 1 && pop3_octets(rest, &octets) && octets == 120);
    assert_true(pop3_numbered(SPAN_OF(" 7\t 0 more "), &number, &rest) && number == 7 && pop3_octets(rest, &octets) && octets == 0);
    assert_true(pop3_numbered(SPAN_OF("4294967295 a b  "), &number, &rest) && span_is(rest, SPAN_OF("a b")));
    assert_true(pop3_numbered(SPAN_OF("3"), &number, &rest) && rest.len == 0 && !pop3_octets(rest, &octets));
    assert_true(pop3_numbered(SPAN_OF("3 \x01\xff"), &number, &rest) && span_is(rest, SPAN_OF("\x01\xff")));
    assert_false(pop3_numbered(SPAN_OF("0 x"), &number, &rest));
    assert_false(pop3_numbered(SPAN_OF("4294967296 x"), &number, &rest));
    assert_false(pop3_numbered(SPAN_OF("x 1"), &number, &rest));
    assert_false(pop3_numbered(SPAN_OF(""), &number, &rest));
    assert_false(pop3_octets(SPAN_OF("-1"), &octets));
    assert_false(pop3_octets(SPAN_OF("99999999999999999999"), &octets));
}

static void test_capa(void **state)
{
    struct pop3_capa c = { .stls = false };

    (void)state;
    pop3_capa(&c, SPAN_OF("STLS"));
    pop3_capa(&c, SPAN_OF("pipelining"));
    pop3_capa(&c, SPAN_OF("SASL CRAM-MD5 plain"));
    pop3_capa(&c, SPAN_OF("LOGIN-DELAY 900"));
    pop3_capa(&c, SPAN_OF(""));
    pop3_capa(&c, SPAN_OF("SASLX PLAIN"));
    assert_true(c.stls && c.pipelining && c.sasl_plain && !c.user && c.login_delay == 900);
    pop3_capa(&c, SPAN_OF("USER"));
    assert_true(c.user);
}

static void gather(void *arg, const char *at, size_t len) { buf_add(arg, at, len); }

/* All at once, and octet by octet. Returns what was used. */
static void unstuffed(const char *in, bool lf_alone, const char *wanted, size_t used, bool ended)
{
    for (int way = 0; way < 2; way++) {
        struct unstuff u = UNSTUFF_BEGIN;
        struct buf out = BUF_EMPTY;
        size_t n = 0, len = strlen(in);

        u.lf_alone = lf_alone;
        if (way == 0)
            n = unstuff(&u, span_str(in), gather, &out);
        else
            while (n < len && u.at != UNSTUFF_END && unstuff(&u, (struct span){ in + n, 1 }, gather, &out) == 1)
                n++;
        if (!span_is(buf_span(&out), span_str(wanted)) || n != used || (u.at == UNSTUFF_END) != ended)
            fail_msg("%s: %s, %zu", in, buf_span(&out).at, n);
        buf_free(&out);
    }
}

static void test_dots(void **state)
{
    (void)state;
    unstuffed("a: b\r\n\r\n..\r\n...x\r\n.\r\n+OK", false, "a: b\r\n\r\n.\r\n..x\r\n", 21, true);
    unstuffed(".\r\n", false, "", 3, true);
    unstuffed("\r\n.\r\n", false, "\r\n", 5, true);
    unstuffed("x.\r\n.", false, "x.\r\n", 5, false);
    /* Lines that end by LF alone: of the message, or of the server. */
    unstuffed("a\n..b\n.\r\n", false, "a\n.b\n", 9, true);
    unstuffed("a\n.\nb\r\n.\r\n", false, "a\n.\nb\r\n", 10, true);
    unstuffed("a\n.\n+OK\n", true, "a\n", 4, true);
    unstuffed("a\n.\r\n", true, "a\n", 5, true);
    unstuffed("a\r\n.\rb\r\n.\r\n", false, "a\r\n\rb\r\n", 11, true);
    unstuffed("a\r\n.\r\r\n.\r\n", false, "a\r\n\r\r\n", 10, true);
    unstuffed("a\r.\r\n.\r\n", false, "a\r.\r\n", 8, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_replies), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_capa), cmocka_unit_test(test_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
