/*
 * test_auth_elsewhere.c - the text of an old server: what is read from it, and what is not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "auth/elsewhere.h"

static bool parse(const char *text, struct elsewhere *out)
{
    return elsewhere_parse(span_str(text), out);
}

static void good(void **state)
{
    struct elsewhere e;

    (void)state;
    assert_true(parse("12 old.example 995 pops proxy2 tls,learn anna smith@example.org", &e));
    assert_true(e.server == 12 && span_is(e.host, SPAN_OF("old.example")) && e.port == 995 && e.tls == ELSEWHERE_POPS);
    assert_true(e.tells == ELSEWHERE_PROXY2 && !e.cleartext && e.learn && span_is(e.name, SPAN_OF("anna smith@example.org")));
    assert_true(parse("1 2001:db8::1 110 none nothing cleartext x", &e));
    assert_true(e.tls == ELSEWHERE_NONE && e.tells == ELSEWHERE_NOTHING && e.cleartext && !e.learn);
    assert_true(parse("9223372036854775807 h 65535 stls xclient cleartext,learn \303\244", &e));
    assert_true(e.tls == ELSEWHERE_STLS && e.tells == ELSEWHERE_XCLIENT && e.cleartext && e.learn);
    assert_true(parse("1 h 1 pops proxy1 tls x", &e) && e.tells == ELSEWHERE_PROXY1);
}

static void bad(void **state)
{
    static const char *const texts[] = {
        "", " ", "1", "1 h", "1 h 995", "1 h 995 pops", "1 h 995 pops nothing", "1 h 995 pops nothing tls", "1 h 995 pops nothing tls ",
        "0 h 995 pops nothing tls x", "-1 h 995 pops nothing tls x", "9223372036854775808 h 995 pops nothing tls x",
        "1 h 0 pops nothing tls x", "1 h 65536 pops nothing tls x", "1 h 99x pops nothing tls x", "1  995 pops nothing tls x",
        "1 h/x 995 pops nothing tls x", "1 h 995 POPS nothing tls x", "1 h 995 pops PROXY tls x", "1 h 995 pops nothing none x",
        "1 h 995 pops nothing tls a\r\nDELE 1", "1 h 995 pops nothing tls a\tb", "1 h 995 pops nothing tls a\177",
        /* A password in the clear must have been allowed. */
        "1 h 995 none nothing tls x", "1 h 995 none nothing tls,learn x",
    };
    struct elsewhere e;
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (parse(texts[i], &e))
            fail_msg("taken: %s", texts[i]);
    snprintf(text, sizeof text, "1 %0253d 995 pops nothing tls %0320d", 1, 1);
    assert_true(parse(text, &e));
    snprintf(text, sizeof text, "1 %0254d 995 pops nothing tls x", 1);
    assert_false(parse(text, &e));
    snprintf(text, sizeof text, "1 h 995 pops nothing tls %0321d", 1);
    assert_false(parse(text, &e));
    assert_false(elsewhere_parse((struct span){ "1 h 995 pops nothing tls a\0b", 28 }, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
