/*
 * test_relay_talk.c - what an old server says up to its answer to a login, as dialogues: a line of its, and
 * what is to be said then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/pop3/relay_talk.h"

struct turn {
    const char *line;           /* NULL: the end */
    enum relay_next next;
};

static enum relay_next hear(struct relay_talk *t, const char *line)
{
    return relay_talk_line(t, LINE_COMMAND, span_str(line));
}

static void run(struct relay_talk *t, const struct turn *turns)
{
    for (; turns->line != NULL; turns++) {
        enum relay_next next = hear(t, turns->line);

        if (next != turns->next)
            fail_msg("%s: %d, not %d", turns->line, next, turns->next);
        if (next == RELAY_BEGIN_TLS)
            assert_int_equal(relay_talk_secured(t), t->xclient ? RELAY_SAY_XCLIENT : RELAY_SAY_CAPA);
    }
}

static void with_plain(void **state)
{
    struct relay_talk t;

    (void)state;
    relay_talk_begin(&t, false, false);
    run(&t, (const struct turn[]){
        { "+OK Dovecot ready.", RELAY_SAY_CAPA }, { "+OK", RELAY_WAIT }, { "TOP", RELAY_WAIT },
        { "SASL LOGIN plain", RELAY_WAIT }, { "", RELAY_WAIT }, { "-ERR", RELAY_WAIT }, { ".", RELAY_SAY_AUTH },
        { "+ ", RELAY_SAY_RESPONSE }, { "+OK Logged in.", RELAY_ACCEPTED }, { NULL, 0 } });
    assert_true(t.named);
    /* Nothing of the mailbox is said before. */
    relay_talk_begin(&t, false, false);
    run(&t, (const struct turn[]){
        { "+OK", RELAY_SAY_CAPA }, { "+OK", RELAY_WAIT }, { "SASL PLAIN", RELAY_WAIT }, { ".", RELAY_SAY_AUTH }, { NULL, 0 } });
    assert_false(t.named);
    /* A server that offers it and will not have it is asked in the other way. */
    relay_talk_begin(&t, false, false);
    run(&t, (const struct turn[]){
        { "+OK", RELAY_SAY_CAPA }, { "+OK", RELAY_WAIT }, { "SASL PLAIN", RELAY_WAIT }, { ".", RELAY_SAY_AUTH },
        { "-ERR not now", RELAY_SAY_USER }, { "+OK", RELAY_SAY_PASS }, { "+ok in", RELAY_ACCEPTED }, { NULL, 0 } });
}

static void without(void **state)
{
    struct relay_talk t;

    (void)state;
    relay_talk_begin(&t, true, true);
    run(&t, (const struct turn[]){
        { "+OK", RELAY_SAY_STLS }, { "+OK begin", RELAY_BEGIN_TLS }, { "+OK Updated", RELAY_SAY_CAPA },
        { "-ERR what", RELAY_SAY_USER }, { "+OK", RELAY_SAY_PASS }, { "-ERR [IN-USE] x", RELAY_REFUSED }, { NULL, 0 } });
    assert_int_equal(t.refusal, RELAY_IN_USE);
    relay_talk_begin(&t, false, false);
    run(&t, (const struct turn[]){
        { "+OK", RELAY_SAY_CAPA }, { "+OK", RELAY_WAIT }, { "SASL", RELAY_WAIT }, { "XSASL PLAIN", RELAY_WAIT },
        { ".", RELAY_SAY_USER }, { "-ERR nobody", RELAY_REFUSED }, { NULL, 0 } });
    assert_int_equal(t.refusal, RELAY_WRONG);
}

static void refusals(void **state)
{
    static const struct {
        const char *line;
        enum relay_refusal refusal;
    } rows[] = {
        { "-ERR", RELAY_WRONG }, { "-ERR [AUTH] no", RELAY_WRONG }, { "-err [auth]", RELAY_WRONG }, { "-ERR  [In-Use]", RELAY_IN_USE },
        { "-ERR [LOGIN-DELAY] 5", RELAY_LOGIN_DELAY }, { "-ERR [SYS/TEMP]", RELAY_SYS_TEMP }, { "-ERR [SYS/PERM] x", RELAY_SYS_PERM },
        { "-ERR [SYS/TEMP", RELAY_WRONG }, { "-ERR x [IN-USE]", RELAY_WRONG }, { "-ERR [X]", RELAY_WRONG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct relay_talk t = { .step = STEP_PASS };

        assert_int_equal(hear(&t, rows[i].line), RELAY_REFUSED);
        assert_int_equal(t.refusal, rows[i].refusal);
    }
}

/* Nothing but +OK at its place is one. */
static void faults(void **state)
{
    static const char *const lines[] = { "", "+", "+O", "+OKAY", "OK", "220 x", "+ ", ".", "+OK+", "*", "-ERROR" };

    (void)state;
    for (int step = STEP_GREETING; step <= STEP_OVER; step++)
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
            struct relay_talk t = { .step = (enum relay_step)step };

            if (step == STEP_CAPA_LIST || (step == STEP_AUTH && lines[i][0] == '+'))
                continue;
            assert_int_equal(hear(&t, lines[i]), RELAY_FAULT);
            assert_non_null(t.fault);
        }
    for (int kind = LINE_NUL; kind <= LINE_ENDLESS; kind++)
        for (int step = STEP_GREETING; step <= STEP_OVER; step++) {
            struct relay_talk t = { .step = (enum relay_step)step };

            assert_int_equal(relay_talk_line(&t, (enum line_kind)kind, SPAN_OF("+OK")), RELAY_FAULT);
        }
    for (int step = STEP_GREETING; step <= STEP_XCLIENT; step++) {
        struct relay_talk t = { .step = (enum relay_step)step };

        assert_int_equal(hear(&t, "-ERR no"), RELAY_FAULT);
    }
}

static void endless_capa(void **state)
{
    struct relay_talk t = { .step = STEP_CAPA_LIST };
    enum relay_next next = RELAY_WAIT;
    unsigned lines = 0;

    (void)state;
    for (; next == RELAY_WAIT; lines++)
        next = hear(&t, "X");
    assert_true(next == RELAY_FAULT && lines < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_plain), cmocka_unit_test(without),      cmocka_unit_test(refusals),
        cmocka_unit_test(faults),     cmocka_unit_test(endless_capa),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
