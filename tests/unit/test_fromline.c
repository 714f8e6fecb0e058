/* From_ lines: their dates, what stands behind them, and which of them separate messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/mail/fromline.c"

enum { AT = 1795383920 };       /* 2026-11-22 21:45:20 UTC */

static int64_t seconds(const char *text)
{
    struct from_line f = from_line(span_str(text));

    return f.form == FROM_DATED ? f.time / 1000000 : -1;
}

static void test_dates(void **state)
{
    static const char *const same[] = {
        "From MAILER-DAEMON Sun Nov 22 21:45:20 2026", "From a@b Sun Nov 22 21:45:20 2026\r\n", "From a@b  Sun Nov 22 21:45:20 2026\n",
        "From a@b Sun Nov 22 21:45:20 UTC 2026", "From a@b Sun, 22 Nov 2026 21:45:20 +0000",
        "From a@b Sun Nov 22 21:45:20 2026 remote from host", "From  Sun Nov 22 21:45:20 2026",
        "From - Sun Nov 22 21:45:20 2026", "From - Sun Nov 22 2026 21:45:20", "From J. Doe <a@b> Sun Nov 22 21:45:20 2026",
        "From a@b 2026-11-22T21:45:20Z", "From a@b 2026-11-22 21:45:20", "From a@b 2026-11-22T22:45:20+01:00",
        "From a@b 2026-11-22T21:45:20.123Z", "From a@b 2026/11/22 21:45:20", "From a@b 22-Nov-2026 21:45:20",
        "From a@b Sun Nov 22 21:45:20 26", "From a@b Sunday, November 22, 2026 21:45:20", "From a@b Sun Nov. 22 9:45:20 PM 2026",
        "From a@b Sun Nov 22 13:45:20 PST 2026", "From a@b Sun Nov 22 16:45:20 2026 EST", "From a@b Sun Nov 22 22:45:20 CET 2026",
        "From a@b Sun Nov 22 14:45:20 GMT-0700 2026", "From a@b Sun Nov 22 2026 14:45:20 GMT-0700 (MST)",
        "From a@b Sun Nov 22 23:45:20 MESZ 2026", "From a@b Sun Nov 22 22:45:20 2026 +0100 (CET)",
        "From a@b Sun Nov 22 22:45:20 2026 +0100 CET", "From a@b Sun Nov 22 21:45:20 XYZ 2026", "From a@b Sun Nov 22 22:45:20 MET 2026",
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (seconds(same[i]) != AT)
            fail_msg("%s: %lld", same[i], (long long)seconds(same[i]));
    assert_int_equal(seconds("From a@b Thu Jan  1 00:00:10 1970"), 10);
    assert_int_equal(seconds("From a@b Thu Jan  1 00:01 1970"), 60);
    assert_int_equal(seconds("From a@b Thu Jan  1 9:00:00 1970"), 9 * 3600);
    assert_int_equal(seconds("From a@b Thu Jan  1 00:00:10 70"), 10);
    assert_int_equal(seconds("From a@b Sun Nov 22 21:45:20 2026 +0100"), AT - 3600);
    assert_true(from_line(SPAN_OF("From a@b Sun Nov 22 21:45:20 2026 +0100")).zone);
    assert_true(from_line(SPAN_OF("From a@b Sun Nov 22 21:45:20 CET 2026")).zone);
    assert_false(from_line(SPAN_OF("From a@b Sun Nov 22 21:45:20 2026")).zone);
    assert_int_equal(seconds("From a@b Sun Nov 22 21:45:20 -0130 2026"), AT + 5400);
    assert_int_equal(seconds("From a@b Sun Sept 22 2024"), 1726963200);
}

static enum from_form form(const char *text)
{
    return from_line(span_str(text)).form;
}

static void test_forms(void **state)
{
    static const char *const text[] = {
        "From here on all is text", "From Mon 5 Jan 2026 08:30 until noon.", "From 22 Nov we meet at 21:45 each day", "From Mon 5 Jan 2026",
        "From a to b", "From 9:00 on", "From - to", "From x", "From Sun Nov 22 25:45:20 2026",
    };
    static const char *const none[] = { "From", "from a@b Sun Nov 22 21:45:20 2026", "From: a@b", ">From a@b", "", "Fro", " From a@b" };
    static const char *const likely[] = { "From ", "From \r\n", "From -", "From - \n", "From a@b", "From a@b gestern", "From MAILER-DAEMON" };

    (void)state;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        assert_int_equal(form(text[i]), FROM_TEXT);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(form(none[i]), FROM_NONE);
    for (size_t i = 0; i < sizeof likely / sizeof likely[0]; i++)
        assert_int_equal(form(likely[i]), FROM_LIKELY);
    assert_true(from_line(SPAN_OF("From MAILER-DAEMON Sun Nov 22 21:45:20 2026")).daemon);
    assert_false(from_line(SPAN_OF("From a@b Sun Nov 22 21:45:20 2026")).daemon);
    /* Words that are cut by a NUL, or endless. */
    assert_int_equal(from_line(SPAN_OF("From a@b\0Sun Nov 22 21:45:20 2026")).form, FROM_DATED);
    assert_int_equal(form("From 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), FROM_TEXT);
}

static void test_behind(void **state)
{
    static const struct {
        const char *text;
        enum from_behind wanted;
    } rows[] = {
        { "", BEHIND_END }, { "\n", BEHIND_EMPTY }, { "\r\nx", BEHIND_EMPTY }, { "text\n", BEHIND_TEXT }, { "see http://x/\n", BEHIND_TEXT },
        { "http://x/\n", BEHIND_TEXT }, { "A: 1\n\n", BEHIND_FIELD }, { "A : 1", BEHIND_FIELD }, { ": 1\n", BEHIND_TEXT },
        { "Subject: x\n\n", BEHIND_HEADER }, { "A: 1\nX-B: 2\n", BEHIND_HEADER }, { "A: 1\nSubject: x\ntext\n", BEHIND_FIELD },
        { " boundary=x\nSubject: x\n\n", BEHIND_HEADER }, { "\tx\n\n", BEHIND_TEXT }, { " x\ntext\n", BEHIND_TEXT },
        { ">From a@b\nSubject: x\n\n", BEHIND_HEADER }, { "From - x\n>>From c\nA: 1\n\n", BEHIND_FIELD }, { ">From a\n\n", BEHIND_EMPTY },
        { ">From a\ntext\n", BEHIND_TEXT }, { "Received: from a\n by b;\n Sun\nA: 1\n\n", BEHIND_HEADER }, { "\xc3\xa4: x\n", BEHIND_TEXT },
    };
    char many[FROM_AHEAD];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (from_behind(span_str(rows[i].text)) != rows[i].wanted)
            fail_msg("%s: %d", rows[i].text, (int)from_behind(span_str(rows[i].text)));
    /* Where one looks no further: a line that is cut there is no text. */
    memset(many, 'x', sizeof many);
    memcpy(many, "Subject: ", 9);
    assert_int_equal(from_behind((struct span){ many, sizeof many }), BEHIND_HEADER);
    many[sizeof many - 5] = '\n';
    assert_int_equal(from_behind((struct span){ many, sizeof many }), BEHIND_HEADER);
    many[0] = ' ';
    assert_int_equal(from_behind((struct span){ many, sizeof many }), BEHIND_TEXT);
    /* Nothing but From_ lines. */
    for (size_t i = 0; i + 6 <= sizeof many; i += 6)
        memcpy(many + i, "From \n", 6);
    assert_int_equal(from_behind((struct span){ many, sizeof many }), BEHIND_TEXT);
}

/* 's' separates, 't' is text; a capital letter with a doubt. */
static char verdict(const char *text, bool blank, enum from_behind behind, bool loose)
{
    struct from_line f = from_line(span_str(text));
    const char *doubt = "x";
    bool is = from_judge(&f, blank, behind, loose, &doubt) == FROM_SEPARATES;

    return is ? (doubt != NULL ? 'S' : 's') : doubt != NULL ? 'T' : 't';
}

static void test_verdicts(void **state)
{
    static const char dated[] = "From a@b Sun Nov 22 21:45:20 2026", daemon[] = "From MAILER-DAEMON Sun Nov 22 21:45:20 2026";
    static const char likely[] = "From - ", text[] = "From Mon 5 Jan 2026 08:30 until noon.";
    static const char casual[] = "From Mon 5 Jan 2026 08:30", seconds_[] = "From root Sun Nov 22 21:45:20 2026";
    static const char address[] = "From a@b Sun Nov 22 21:45 2026", iso[] = "From root 2026-11-22T21:45Z";
    static const struct {
        const char *line;
        bool blank, loose;
        const char *wanted;     /* behind it: END EMPTY TEXT FIELD HEADER */
    } rows[] = {
        { dated, true, false, "ssTss" },  { dated, false, false, "tttSS" },
        { daemon, true, false, "sssss" }, { daemon, false, false, "tttSS" },
        { likely, true, false, "TTtss" }, { likely, false, false, "ttttT" },
        { text, true, false, "tttTS" },   { text, false, false, "ttttt" },
        { text, true, true, "tttss" },    { text, false, true, "ttttt" },
        { "text", true, true, "ttttt" },
        /* What people write has no seconds; what programs write has them, or an address. */
        { casual, true, false, "TTTSs" },  { casual, false, false, "tttSS" },
        { seconds_, true, false, "ssTss" }, { address, true, false, "ssTss" }, { iso, true, false, "ssTss" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int behind = BEHIND_END; behind <= BEHIND_HEADER; behind++)
            if (verdict(rows[i].line, rows[i].blank, (enum from_behind)behind, rows[i].loose) != rows[i].wanted[behind])
                fail_msg("%s, %s behind a blank line, before %d", rows[i].line, rows[i].blank ? "" : "not", behind);
}

static void test_fields(void **state)
{
    int64_t t;

    (void)state;
    assert_int_equal(from_marks(SPAN_OF("From x")), 0);
    assert_int_equal(from_marks(SPAN_OF(">>From x")), 2);
    assert_int_equal(from_marks(SPAN_OF("> From x")), -1);
    assert_int_equal(from_marks(SPAN_OF(">From")), -1);
    assert_true(from_is_field(SPAN_OF("X:")));
    assert_false(from_is_field(SPAN_OF("no colon")));
    assert_int_equal(from_date(SPAN_OF("Sun, 22 Nov 2026 13:45:20 -0800 (PST)"), &t), 1);
    assert_int_equal(t, (int64_t)AT * 1000000);
    assert_int_equal(from_date(SPAN_OF("22 Nov 2026 16:45 EST"), &t), 1);
    assert_int_equal(from_date(SPAN_OF("some day"), &t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates), cmocka_unit_test(test_forms), cmocka_unit_test(test_behind), cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
