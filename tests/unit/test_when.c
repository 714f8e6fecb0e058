/* test_when.c - moments as people type them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/when.h"

static const int64_t NOW = 1796040012;      /* 2026-11-30 12:00:12 UTC */
enum { MINUTE = 60, HOUR = 3600, DAY = 86400, MIDNIGHT = 1795996800 };

static void test_good(void **state)
{
    static const struct { const char *text; int64_t at; } table[] = {
        { "10m", NOW - 10 * MINUTE }, { "2h", NOW - 2 * HOUR }, { "3d", NOW - 3 * DAY }, { "90s", NOW - 90 }, { "1500ms", NOW - 1 },
        { "0s", NOW }, { "99999999999d", 0 }, { "now", NOW }, { "today", MIDNIGHT }, { "yesterday", MIDNIGHT - DAY },
        { "2026-11-30", MIDNIGHT }, { "2026-11-29", MIDNIGHT - DAY }, { "2026-11-29 10:00", MIDNIGHT - DAY + 10 * HOUR },
        { "2026-11-29T10:00:30", MIDNIGHT - DAY + 10 * HOUR + 30 }, { "2026-11-29T10:00:30Z", MIDNIGHT - DAY + 10 * HOUR + 30 },
        { "2026-11-29 10:00 UTC", MIDNIGHT - DAY + 10 * HOUR }, { "2026-11-29 10:00+02:00", MIDNIGHT - DAY + 8 * HOUR },
        { "2026-11-29 10:00 -0330", MIDNIGHT - DAY + 13 * HOUR + 30 * MINUTE }, { "2026-11-29 10:00+02", MIDNIGHT - DAY + 8 * HOUR },
        { "2024-02-29", 1709164800 }, { "1969-12-31 23:59", -60 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *why = "";
        int64_t at = -1;

        if (!when_parse(table[i].text, NOW, &at, &why) || at != table[i].at)
            fail_msg("%s: %lld, wanted %lld %s", table[i].text, (long long)at, (long long)table[i].at, why);
    }
}

static void test_wrong(void **state)
{
    static const char *const texts[] = {
        "", " ", "10", "2026", "m", "10 m", "-10m", "10M", "2d3h", "tomorrow", "Yesterday", "2026-11", "2026-1-1", "2026-13-01", "2026-02-29",
        "2026-04-31", "2026-11-29 24:00", "2026-11-29 10:60", "2026-11-29 10", "2026-11-29 10:00x", "2026-11-29 10:00 CET", "2026-11-29 10:00+99",
        "2026-11-29 10:00+2:", "infinity", "epoch", "20261129", "2026-11-29;", "2026-11-29 1:00",
    };
    static const char *const future[] = { "2026-12-01", "2026-11-30 12:01", "2026-11-30 12:00-01:00", "9999-12-31" };
    const char *why = "";
    int64_t at;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (when_parse(texts[i], NOW, &at, &why))
            fail_msg("\"%s\" was taken", texts[i]);
        assert_non_null(strstr(why, "a time is"));
    }
    for (size_t i = 0; i < sizeof future / sizeof future[0]; i++) {
        if (when_parse(future[i], NOW, &at, &why))
            fail_msg("\"%s\" was taken", future[i]);
        assert_string_equal(why, "the time is in the future");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_wrong) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
