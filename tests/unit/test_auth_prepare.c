/*
 * One form of a password, however it was typed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "auth/account/make.h"
#include "auth/scheme/prepare.h"
#include "auth/settings.h"

static const struct {
    const char *typed, *want;   /* want NULL: there is no other form */
} rows[] = {
    { "open sesame", NULL },
    { " blanks at its ends ", NULL },
    { "K\xC3\xB6ln", NULL },
    { "Ko\xCC\x88ln", "K\xC3\xB6ln" },
    { "\xE2\x84\xAA\xC3\xB6ln", "K\xC3\xB6ln" },
    { "\xE2\x84\xAB", "\xC3\x85" },
    { "a\xC2\xA0" "b", "a b" },
    { "a\xE3\x80\x80" "b", "a b" },
    { "\xC2\xA0", " " },
    { "\xEF\xBC\xA1\xEF\xBC\x91", "A1" },
    { "\xEF\xAC\x81n", "fin" },
    { "so\xC2\xAD" "ft", "soft" },
    { "\xC2\xAD", NULL },                                               /* nothing would be left of it */
    { "Gro\xC3\x9F", NULL },                                            /* capitals and small ones stay what they are */
    { "\xD7\x90\xD7\x91" "ab", NULL },                                  /* two directions: SASLprep forbids it, and it is composed */
    { "\xD7\x90 abc o\xCC\x88", "\xD7\x90 abc \xC3\xB6" },
    { "\xD7\x90\xC2\xA0" "abc", "\xD7\x90 abc" },
    { "tab\tu\xCC\x88", "tab\t\xC3\xBC" },
    { "\xF0\x9F\xA7\x94", NULL },                                       /* newer than SASLprep's Unicode 3.2 */
    { "\xF0\x9F\xA7\x94o\xCC\x88", "\xF0\x9F\xA7\x94\xC3\xB6" },
    { "\xE1\xAC\x85\xE1\xAC\xB5", "\xE1\xAC\x86" },                     /* composed since Unicode 5.0 */
    { "K\xF6ln", NULL },                                                /* Latin-1 */
    { "o\xCC\x88\xFF", NULL },
    { "", NULL },
};

static void test_forms(void **state)
{
    char out[PASSWORD_MAX], again[PASSWORD_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = prepare_password(span_str(rows[i].typed), out);
        if (rows[i].want == NULL ? len != 0 : !span_is((struct span){ out, len }, span_str(rows[i].want)))
            fail_msg("\"%s\" gives \"%.*s\"", rows[i].typed, (int)len, out);
        if (len > 0)
            assert_int_equal(prepare_password((struct span){ out, len }, again), 0);
    }
    assert_int_equal(prepare_password(SPAN_OF("o\xCC\x88\0x"), out), 0);
}

static void test_decomposed(void **state)
{
    char out[PASSWORD_MAX];

    (void)state;
    size_t len = prepare_form(PREPARE_DECOMPOSED, SPAN_OF("K\xC3\xB6ln"), out);
    assert_true(span_is((struct span){ out, len }, SPAN_OF("Ko\xCC\x88ln")));
    assert_int_equal(prepare_form(PREPARE_DECOMPOSED, SPAN_OF("Ko\xCC\x88ln"), out), 0);
    assert_int_equal(prepare_form(PREPARE_DECOMPOSED, SPAN_OF("ascii"), out), 0);
}

/* The longest; and those that another form would make too long. */
static void test_lengths(void **state)
{
    static char typed[PASSWORD_MAX + 2];
    char out[PASSWORD_MAX];

    (void)state;
    memset(typed, 'x', sizeof typed);
    memcpy(typed, "o\xCC\x88", 3);
    assert_int_equal(prepare_password((struct span){ typed, PASSWORD_MAX }, out), PASSWORD_MAX - 1);
    assert_int_equal(prepare_password((struct span){ typed, PASSWORD_MAX + 1 }, out), 0);
    for (size_t i = 0; i + 3 <= PASSWORD_MAX; i += 3)
        memcpy(typed + i, "\xEF\xB7\xBA", 3);               /* eighteen letters each, by SASLprep: it stays as it is */
    assert_int_equal(prepare_password((struct span){ typed, PASSWORD_MAX - 1 }, out), 0);
}

/* What is stored of one form is right for the other. */
static void test_made(void **state)
{
    static const struct auth_settings settings = { .auth_argon2_memory = 8388608, .auth_argon2_passes = 1 };
    char text[SCHEME_TEXT_MAX];
    const char *error;

    (void)state;
    assert_int_equal(make_secret(CREDENTIAL_PASSWORD, SPAN_OF("Ko\xCC\x88ln"), &settings, text, &error), 0);
    assert_int_equal(scheme_verify(text, SPAN_OF("K\xC3\xB6ln"), &error), SCHEME_MATCHES);
    assert_int_equal(make_secret(CREDENTIAL_SHARED_SECRET, SPAN_OF("Ko\xCC\x88ln"), &settings, text, &error), 0);
    assert_string_equal(text, "K\xC3\xB6ln");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_decomposed), cmocka_unit_test(test_lengths), cmocka_unit_test(test_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
