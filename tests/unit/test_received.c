/* When a message came to its server, by its header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/fromline.c"
#include "admin/mail/received.c"

static void test_received(void **state)
{
    static const struct {
        const char *head;
        enum received_by by;
        int64_t seconds;
    } rows[] = {
        { "Received: from a by b; Sun, 22 Nov 2026 21:45:20 +0100\r\nDate: Sat, 21 Nov 2026 1:02:03 +0000\r\n\r\nx", RECEIVED_FIELD, 1795380320 },
        { "Return-Path: <>\nRECEIVED: from a (x; y)\n\tby b (c)\n\tfor <d>;\n\tSun, 22 Nov 2026\n 21:45:20 -0000 (UTC)\n\n", RECEIVED_FIELD, 1795383920 },
        { "Received: by one; 22 Nov 2026 21:45:20 +0000\r\nReceived: by two; 1 Jan 2020 00:00:00 +0000\r\n\r\n", RECEIVED_FIELD, 1795383920 },
        { "Received: by one; garbage\r\nReceived: by two; 22 Nov 2026 21:45:20 +0000\r\n\r\n", RECEIVED_FIELD, 1795383920 },
        { "Received: by one without a date\r\nDate: 22 Nov 2026 21:45:20 GMT\r\n\r\n", RECEIVED_DATE, 1795383920 },
        { "Date: 22 Nov 2026 21:45:20 +0000", RECEIVED_DATE, 1795383920 },
        { "Date: Thu, 01 Jan 1960 00:00:00 +0000\r\n\r\n", RECEIVED_NOTHING, 0 },
        { "Subject: x\r\n\r\nReceived: by b; 22 Nov 2026 21:45:20 +0000\r\n", RECEIVED_NOTHING, 0 },
        { "\r\nDate: 22 Nov 2026 21:45:20 +0000\r\n", RECEIVED_NOTHING, 0 },
        { "Received:", RECEIVED_NOTHING, 0 },
        { "", RECEIVED_NOTHING, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t when = 0;
        enum received_by by = received_time(span_str(rows[i].head), &when);

        if (by != rows[i].by || (by != RECEIVED_NOTHING && when != rows[i].seconds * 1000000))
            fail_msg("%s: %d %lld", rows[i].head, by, (long long)when / 1000000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_received) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
