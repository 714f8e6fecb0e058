/*
 * What is written in front of a message, what is read from its header, and
 * the table of replies (LD13, LD14, LV03, LE02).
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "daemon/lmtp/reply.h"
#include "daemon/lmtp/trace.h"

static const struct trace plain = {
    .sender = "s@x.example", .lhlo = SPAN_OF("mx.example.org"), .peer = "192.0.2.1:4242", .host = "pop.example.org",
    .id = "0123456789abcdef.1", .recipient = NULL, .when = 1700000000,
};

static void expect(const struct trace *trace, const char *want)
{
    struct buf out = BUF_EMPTY;

    trace_put(&out, trace);
    buf_add(&out, "", 1);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void test_trace(void **state)
{
    struct trace t = plain;

    (void)state;
    setenv("TZ", "UTC0", 1);
    tzset();
    expect(&t, "Return-Path: <s@x.example>\r\n"
               "Received: from mx.example.org ([192.0.2.1])\r\n"
               "\tby pop.example.org (Postern) with LMTP id 0123456789abcdef.1;\r\n"
               "\tTue, 14 Nov 2023 22:13:20 +0000\r\n");
    t.recipient = "anna@example.org";
    t.sender = "";
    t.utf8 = true;
    t.peer = "[2001:db8::1]:4242";
    expect(&t, "Return-Path: <>\r\n"
               "Received: from mx.example.org ([IPv6:2001:db8::1])\r\n"
               "\tby pop.example.org (Postern) with UTF8LMTP id 0123456789abcdef.1\r\n"
               "\tfor <anna@example.org>;\r\n"
               "\tTue, 14 Nov 2023 22:13:20 +0000\r\n");
    setenv("TZ", "XXX+3:30", 1);
    tzset();
    t.peer = "unix";
    t.recipient = NULL;
    t.utf8 = false;
    expect(&t, "Return-Path: <>\r\n"
               "Received: from mx.example.org (unix)\r\n"
               "\tby pop.example.org (Postern) with LMTP id 0123456789abcdef.1;\r\n"
               "\tTue, 14 Nov 2023 18:43:20 -0330\r\n");
}

/* What LHLO said is repeated only where it is a name. */
static void test_hostile_lhlo(void **state)
{
    static const struct span bad[] = {
        SPAN_OF(""), SPAN_OF("a b"), SPAN_OF("a)("), SPAN_OF("a\r\nX-Evil: 1"), SPAN_OF("a\0b"), SPAN_OF("\xc3\xbc"), SPAN_OF("<a>;"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trace t = plain;
        struct buf out = BUF_EMPTY;
        t.lhlo = bad[i];
        trace_put(&out, &t);
        buf_add(&out, "", 1);
        assert_non_null(strstr(out.data, "from unknown ("));
        assert_null(strstr(out.data, "Evil"));
        buf_free(&out);
    }
}

static const struct {
    struct span head;
    const char *id;
} heads[] = {
    { SPAN_OF("Message-ID: <a@b>\r\n\r\n"), "<a@b>" },
    { SPAN_OF("Subject: x\r\nmessage-id:<a@b>  \r\nX: y\r\n\r\n"), "<a@b>" },
    { SPAN_OF("Message-ID:\r\n <a@b>\r\n\r\n"), "<a@b>" },
    { SPAN_OF("Message-ID:\r\n\t<a@b>\r\n \r\n\r\n"), "<a@b>" },
    { SPAN_OF("X-Message-ID: <a@b>\r\n\r\n"), "" },
    { SPAN_OF("Subject: x\r\n Message-ID: <a@b>\r\n\r\n"), "" },
    { SPAN_OF("Subject: x\r\n\r\nMessage-ID: <a@b>\r\n"), "" },
    { SPAN_OF("Message-ID: <a@b>"), "" },
    { SPAN_OF("Message-ID:\r\n"), "" },
    { SPAN_OF("Message-ID:\r\n <a@"), "" },
    { SPAN_OF("\r\nMessage-ID: <a@b>\r\n"), "" },
    { SPAN_OF(""), "" },
};

static void test_message_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct span id = trace_message_id(heads[i].head);
        if (!span_is(id, span_str(heads[i].id)))
            print_error("head %zu: %.*s\n", i, (int)id.len, id.at);
        assert_true(span_is(id, span_str(heads[i].id)));
    }
}

/* LV03: code, enhanced code of the same class; and no line is longer than 512 octets. */
static void test_replies(void **state)
{
    char address[321];

    (void)state;
    memset(address, 'a', 320);
    address[320] = '\0';
    for (int i = 0; i < REPLY_COUNT; i++) {
        const struct lmtp_reply *r = &lmtp_replies[i];
        struct buf out = BUF_EMPTY;

        assert_int_equal(strlen(r->code), 3);
        assert_true(strchr("245", r->code[0]) != NULL && isdigit(r->code[1]) && isdigit(r->code[2]));
        assert_int_equal(r->enhanced[0], r->code[0]);
        assert_int_equal(r->enhanced[1], '.');
        lmtp_reply_put(&out, (enum lmtp_reply_name)i, address, "0123456789abcdef.4294967295");
        assert_true(out.len <= 512);
        assert_memory_equal(out.data + out.len - 2, "\r\n", 2);
        assert_memory_equal(out.data, r->code, 3);
        assert_int_equal(out.data[3], ' ');
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_hostile_lhlo),
        cmocka_unit_test(test_message_id),
        cmocka_unit_test(test_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
