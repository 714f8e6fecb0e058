/*
 * One spelling of every address (A16: names are compared whole).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unicase.h>
#include <unistr.h>
#include <cmocka.h>

#include "auth/name.h"

static struct span none;

static const struct {
    const char *typed, *domain, *want;     /* want NULL: refused */
} names[] = {
    { "anna@example.org", "", "anna@example.org" },
    { "Anna.B@EXAMPLE.Org", "", "anna.b@example.org" },
    { "anna", "example.org", "anna@example.org" },
    { "anna", "Example.ORG.", "anna@example.org" },
    { "anna", "b\xC3\xBC" "cher.example", "anna@xn--bcher-kva.example" },
    { "anna@other.org", "example.org", "anna@other.org" },
    { "anna", "", NULL },
    { "", "example.org", NULL },
    { "", "", NULL },
    { "@example.org", "", NULL },
    { "anna@", "example.org", NULL },
    { "@", "example.org", NULL },
    { "anna@example.org.", "", "anna@example.org" },
    { "anna@example.org..", "", NULL },
    { "anna@.example.org", "", NULL },
    { "anna@ex..org", "", NULL },
    { "anna@.", "", NULL },
    { "anna@localhost", "", "anna@localhost" },
    { "anna@my_host.example", "", "anna@my_host.example" },
    { "anna@-x.example", "", NULL },
    { "anna@x-.example", "", NULL },
    { "anna@exa mple.org", "", NULL },
    { "anna@[192.0.2.1]", "", NULL },
    { "anna@exam%ple.org", "", NULL },
    { "anna@exam\"ple.org", "", NULL },
    /* IDN: composed, decomposed, upper case, wide characters, other full stops; eszett is kept (non-transitional). */
    { "anna@b\xC3\xBC" "cher.example", "", "anna@xn--bcher-kva.example" },
    { "anna@bu\xCC\x88" "cher.example", "", "anna@xn--bcher-kva.example" },
    { "anna@B\xC3\x9C" "CHER.example", "", "anna@xn--bcher-kva.example" },
    { "anna@XN--BCHER-KVA.example", "", "anna@xn--bcher-kva.example" },
    { "anna@\xEF\xBD\x85xample.org", "", "anna@example.org" },
    { "anna@example\xE3\x80\x82org", "", "anna@example.org" },
    { "anna@example.org\xE3\x80\x82", "", "anna@example.org" },
    { "anna@fa\xC3\x9F.example", "", "anna@xn--fa-hia.example" },
    { "anna@xn--n3h.example", "", "anna@xn--n3h.example" },
    { "anna@ab--c.example", "", "anna@ab--c.example" },
    { "anna@\xE2\x98\x83.example", "", NULL },                      /* not in IDNA 2008 */
    { "anna@\xF0\x9F\x98\x80\xE2\x80\x8D.example", "", NULL },      /* a joiner that joins nothing */
    /* The local part: small letters; without quotes only what RFC 5321 has without. */
    { "J\xC3\x96RG@example.org", "", "j\xC3\xB6rg@example.org" },
    { "o'neil+tag@example.org", "", "o'neil+tag@example.org" },
    { "a%b:c@example.org", "x.org", NULL },
    { "\"a%b:c\"@example.org", "x.org", "\"a%b:c\"@example.org" },
    { "anna b@example.org", "", NULL },
    { "anna @example.org", "", NULL },
    { " ", "example.org", NULL },
    { "\"Anna B\"@Example.org", "", "\"anna b\"@example.org" },
    { "\"a@B\"@Example.org", "", "\"a@b\"@example.org" },
    { "\"A@example.org", "", NULL },
    { "a@b@Example.org", "", NULL },
    { "a@@example.org", "", NULL },
    /* Control characters: of ASCII, DEL, and of C1. */
    { "an\tna@example.org", "", NULL },
    { "anna\r\n@example.org", "", NULL },
    { "an\x7Fna@example.org", "", NULL },
    { "an\xC2\x85na@example.org", "", NULL },
    { "anna@exam\x01ple.org", "", NULL },
    /* Not UTF-8: alone, cut off, overlong, a surrogate, too large, Latin-1. */
    { "an\x80na@example.org", "", NULL },
    { "anna\xC3@example.org", "", NULL },
    { "an\xC0\xAFna@example.org", "", NULL },
    { "an\xE0\x80\xAFna@example.org", "", NULL },
    { "an\xED\xA0\x80na@example.org", "", NULL },
    { "an\xF4\x90\x80\x80na@example.org", "", NULL },
    { "an\xF8\x88\x80\x80\x80na@example.org", "", NULL },
    { "J\xF6rg@example.org", "", NULL },
    { "an\xF0\x9F\x98\x80na@example.org", "", "an\xF0\x9F\x98\x80na@example.org" },
    { "anna@ex\xC3", "", NULL },
    /* Blanks around it, of every kind, and what nobody sees, as people paste them. */
    { "anna@example.org ", "", "anna@example.org" },
    { " \t anna@example.org\t ", "", "anna@example.org" },
    { "\xC2\xA0" "anna@example.org\xE3\x80\x80", "", "anna@example.org" },
    { "\xE2\x80\xAA" "anna@example.org\xE2\x80\xAC", "", "anna@example.org" },
    { "\xEF\xBB\xBF" "anna@example.org\xE2\x80\x8B", "", "anna@example.org" },
    { "an\xC2\xADna@example.org", "", "anna@example.org" },
    { "\xE2\x80\x8B@example.org", "", NULL },
    { " anna ", " Example.ORG ", "anna@example.org" },
    { "anna@ example.org", "", NULL },
    { "an\xC2\xA0na@example.org", "", NULL },
    { "\"an\xC2\xA0na\"@example.org", "", "\"an na\"@example.org" },
    /* Quotes only where they are needed, backslashes too. */
    { "\"anna\"@example.org", "", "anna@example.org" },
    { "\"a\\n\\n.a\"@example.org", "", "ann.a@example.org" },
    { "\"a..b\"@example.org", "", "a..b@example.org" },
    { "\"a\\\"b\\\\\"@example.org", "", "\"a\\\"b\\\\\"@example.org" },
    { "\" anna\"@example.org", "", "\" anna\"@example.org" },
    { "\"anna b\"", "example.org", "\"anna b\"@example.org" },
    { "\"a@b\"", "example.org", "\"a@b\"@example.org" },
    { "\"\"@example.org", "", NULL },
    { "\"anna\"x@example.org", "", NULL },
    { "\"anna\\", "example.org", NULL },
    { "\"J\xC3\x96RG\"@example.org", "", "j\xC3\xB6rg@example.org" },
    { "an\"na@example.org", "", NULL },
    { "<anna@example.org>", "", NULL },
    /* One form: composed and decomposed, letters that are another (KELVIN, ANGSTROM, OHM), wide ones, small and capital. */
    { "J\xC3\xB6rg@example.org", "", "j\xC3\xB6rg@example.org" },
    { "Jo\xCC\x88rg@example.org", "", "j\xC3\xB6rg@example.org" },
    { "JO\xCC\x88RG@example.org", "", "j\xC3\xB6rg@example.org" },
    { "\xE2\x84\xAA@example.org", "", "k@example.org" },
    { "\xE2\x84\xAB@example.org", "", "\xC3\xA5@example.org" },
    { "\xE2\x84\xA6@example.org", "", "\xCF\x89@example.org" },
    { "\xEF\xBC\xA1\xEF\xBD\x8E\xEF\xBD\x8E" "a@example.org", "", "anna@example.org" },
    { "\xEF\xBD\xB6\xEF\xBE\x9E@example.org", "", "\xE3\x82\xAC@example.org" },
    { "anna\xEF\xBC\xA0" "example.org", "example.org", NULL },
    { "\xCE\xA3\xCE\x91\xCE\xA3@example.org", "", "\xCF\x83\xCE\xB1\xCF\x83@example.org" },
    { "\xCF\x83\xCE\xB1\xCF\x82@example.org", "", "\xCF\x83\xCE\xB1\xCF\x83@example.org" },
    { "stra\xC3\x9F" "e@example.org", "", "stra\xC3\x9F" "e@example.org" },
    { "STRA\xE1\xBA\x9E" "E@example.org", "", "stra\xC3\x9F" "e@example.org" },
    /* No language: I is i, and the dotless one is another letter. */
    { "I@example.org", "", "i@example.org" },
    { "\xC4\xB1@example.org", "", "\xC4\xB1@example.org" },
    { "\xC4\xB0@example.org", "", "i\xCC\x87@example.org" },
    { "I\xCC\x87@example.org", "", "i\xCC\x87@example.org" },
    { "\xD7\x90\xD7\x91\x31@example.org", "", "\xD7\x90\xD7\x91\x31@example.org" },
    /* What SASLprep makes something else of; private use, unassigned, an end of line. */
    { "\xEF\xAC\x81" "n@example.org", "", NULL },
    { "x\xC2\xB2@example.org", "", NULL },
    { "\xEE\x80\x80@example.org", "", NULL },
    { "\xCD\xB8@example.org", "", NULL },
    { "a\xE2\x80\xA8z@example.org", "", NULL },
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char out[NAME_ADDRESS_MAX + 1];
        const char *error = NULL;
        int ok = name_canonical(span_str(names[i].typed), span_str(names[i].domain), out, &error);
        if (ok != (names[i].want != NULL) || strcmp(out, names[i].want != NULL ? names[i].want : "") != 0)
            fail_msg("\"%s\" gives %d \"%s\" (%s)", names[i].typed, ok, out, error != NULL ? error : "-");
        assert_int_equal(ok, error == NULL);
        if (!ok)
            continue;
        /* What is canonical stays as it is. */
        char again[NAME_ADDRESS_MAX + 1];
        assert_int_equal(name_canonical(span_str(out), none, again, NULL), 1);
        assert_string_equal(again, out);
    }
}

static void test_nul(void **state)
{
    char out[NAME_ADDRESS_MAX + 1];

    (void)state;
    assert_int_equal(name_canonical(SPAN_OF("anna\0@example.org"), none, out, NULL), 0);
    assert_int_equal(name_canonical(SPAN_OF("anna@example.org\0"), none, out, NULL), 0);
    assert_int_equal(name_canonical(SPAN_OF("anna@example.org\0.evil"), none, out, NULL), 0);
    assert_int_equal(name_canonical(SPAN_OF("\0"), SPAN_OF("example.org"), out, NULL), 0);
    assert_int_equal(name_canonical(SPAN_OF("anna"), SPAN_OF("example.org\0"), out, NULL), 0);
    assert_int_equal(name_domain(SPAN_OF("example\0.org"), out, NULL), 0);
}

/* A local part of n octets at a domain of `labels` labels of 62 octets and one of `last`. */
static int sized(size_t n, size_t labels, size_t last, char out[NAME_ADDRESS_MAX + 1])
{
    char typed[4096];
    size_t at = 0;

    memset(typed, 'a', n);
    at += n;
    typed[at++] = '@';
    for (size_t i = 0; i < labels; i++, at += 63) {
        memset(typed + at, 'b', 62);
        typed[at + 62] = '.';
    }
    memset(typed + at, 'c', last);
    return name_canonical((struct span){ typed, at + last }, none, out, NULL);
}

static void test_lengths(void **state)
{
    char out[NAME_ADDRESS_MAX + 1], long_name[NAME_TYPED_MAX + 1];

    (void)state;
    assert_int_equal(sized(64, 0, 63, out), 1);
    assert_int_equal(sized(65, 0, 63, out), 0);
    assert_int_equal(sized(64, 0, 64, out), 0);
    assert_int_equal(sized(64, 4, 1, out), 1);      /* a domain of 253 */
    assert_int_equal(strlen(out), 64 + 1 + 253);
    assert_int_equal(sized(64, 4, 2, out), 0);
    assert_int_equal(sized(1, 40, 1, out), 0);
    memset(long_name, 'a', sizeof long_name);
    assert_int_equal(name_canonical((struct span){ long_name, sizeof long_name }, SPAN_OF("x.org"), out, NULL), 0);
    assert_int_equal(name_domain((struct span){ long_name, sizeof long_name }, out, NULL), 0);
}

/* A16: two names that agree in their first 60 octets. */
static void test_compared_whole(void **state)
{
    char a[NAME_ADDRESS_MAX + 1], b[NAME_ADDRESS_MAX + 1];

    (void)state;
    assert_int_equal(name_canonical(SPAN_OF("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1@x.org"), none, a, NULL), 1);
    assert_int_equal(name_canonical(SPAN_OF("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2@x.org"), none, b, NULL), 1);
    assert_string_not_equal(a, b);
}

static void test_domain(void **state)
{
    char out[NAME_DOMAIN_MAX + 1];
    const char *error = NULL;

    (void)state;
    assert_int_equal(name_domain(SPAN_OF("Example.ORG."), out, &error), 1);
    assert_string_equal(out, "example.org");
    assert_int_equal(name_domain(none, out, &error), 0);
    assert_non_null(error);
    assert_string_equal(out, "");
    assert_int_equal(name_domain(SPAN_OF("a@example.org"), out, &error), 0);
}

/* Every code point that is let through, alone and between letters, is canonical afterwards, and one for capitals and small ones. */
static void test_every_character(void **state)
{
    char typed[64], out[NAME_ADDRESS_MAX + 1], again[NAME_ADDRESS_MAX + 1], small[NAME_ADDRESS_MAX + 1];
    size_t taken = 0;

    (void)state;
    for (ucs4_t c = 0xA0; c <= 0x10FFFF; c++) {
        for (int around = 0; around < 2; around++) {
            size_t len = (size_t)snprintf(typed, sizeof typed, around ? "a." : "");
            int n = c >= 0xD800 && c <= 0xDFFF ? -1 : u8_uctomb((uint8_t *)typed + len, c, 8);
            if (n <= 0)
                continue;
            snprintf(typed + len + (size_t)n, sizeof typed - len - (size_t)n, "%s@x.org", around ? "z" : "");
            if (!name_canonical(span_str(typed), none, out, NULL))
                continue;
            taken++;
            if (!name_canonical(span_str(out), none, again, NULL) || strcmp(out, again) != 0)
                fail_msg("U+%04X gives \"%s\", and that \"%s\"", (unsigned)c, out, again);
            n = u8_uctomb((uint8_t *)typed + len, uc_tolower(c), 8);
            snprintf(typed + len + (size_t)n, sizeof typed - len - (size_t)n, "%s@x.org", around ? "z" : "");
            if (c != 0x130 && (!name_canonical(span_str(typed), none, small, NULL) || strcmp(out, small) != 0))
                fail_msg("U+%04X gives \"%s\", small \"%s\"", (unsigned)c, out, small);
        }
    }
    assert_in_range(taken, 200000, 400000);
}

/* In decomposed form three times as long; what is too long composed is too long. */
static void test_decomposed_length(void **state)
{
    char typed[512] = "", out[NAME_ADDRESS_MAX + 1];

    (void)state;
    for (int i = 0; i < 32; i++)
        strcat(typed, "o\xCC\x88");
    strcat(typed, "@x.org");
    assert_int_equal(name_canonical(span_str(typed), none, out, NULL), 1);
    assert_int_equal(strlen(out), 64 + 6);
    memmove(typed + 1, typed, strlen(typed) + 1);
    typed[0] = 'a';
    assert_int_equal(name_canonical(span_str(typed), none, out, NULL), 0);
    assert_string_equal(out, "");
    /* With its quotes it has 64, and one more. */
    char quoted[96];
    snprintf(quoted, sizeof quoted, "\"%061d \"@x.org", 0);
    assert_int_equal(name_canonical(span_str(quoted), none, out, NULL), 1);
    snprintf(quoted, sizeof quoted, "\"%062d \"@x.org", 0);
    assert_int_equal(name_canonical(span_str(quoted), none, out, NULL), 0);
}

static void test_trim(void **state)
{
    static const struct { const char *in, *out; } rows[] = {
        { "", "" }, { " ", "" }, { "a", "a" }, { " a b ", "a b" }, { "\ta\t", "a" }, { "\xC2\xA0\xE2\x80\x8E" "a\xEF\xBB\xBF", "a" },
        { "a\r", "a\r" }, { "\xFF a \xFF", "\xFF a \xFF" }, { "\xC2\xA0", "" }, { "\xA0", "\xA0" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span out = name_trim(span_str(rows[i].in));
        assert_true(span_is(out, span_str(rows[i].out)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_nul),   cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_compared_whole), cmocka_unit_test(test_domain),
        cmocka_unit_test(test_every_character), cmocka_unit_test(test_decomposed_length), cmocka_unit_test(test_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
