/*
 * What a message is known by when it comes again (LE11): its octets, but for
 * the header fields that a mail server writes anew at each attempt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/base/secret.h"
#include "daemon/lmtp/known.h"

struct digest { unsigned char octets[KNOWN_DIGEST]; };

/* In pieces of this size. */
static struct digest digest_of(const char *text, size_t piece)
{
    struct known *known = known_new();
    struct digest d;

    for (size_t at = 0, len = strlen(text); at < len; at += piece)
        known_add(known, (struct span){ text + at, len - at < piece ? len - at : piece });
    known_digest(known, d.octets);
    known_free(&known);
    assert_null(known);
    return d;
}

static bool same(const char *a, const char *b)
{
    struct digest x = digest_of(a, 1000), y = digest_of(b, 1000);

    for (size_t piece = 1; piece < 40; piece++) {
        struct digest z = digest_of(a, piece);
        assert_memory_equal(x.octets, z.octets, KNOWN_DIGEST);
    }
    return memcmp(x.octets, y.octets, KNOWN_DIGEST) == 0;
}

static void test_another_text(void **state)
{
    (void)state;
    assert_true(same("Message-ID: <1>\r\n\r\nfirst\r\n", "Message-ID: <1>\r\n\r\nfirst\r\n"));
    assert_false(same("Message-ID: <1>\r\n\r\nfirst\r\n", "Message-ID: <1>\r\n\r\nsecond\r\n"));
    assert_false(same("Message-ID: <1>\r\n\r\nfirst\r\n", "Message-ID: <1>\r\nSubject: x\r\n\r\nfirst\r\n"));
    assert_false(same("Received: a\r\n\r\n", "Received: b\r\n\r\n"));
    assert_false(same("A: b\r\n\r\nx", "A: b\r\n\r\nx\r\n"));
    assert_true(same("", ""));
    assert_false(same("", "\r\n"));
}

static void test_what_passes(void **state)
{
    (void)state;
    assert_true(same("Delivery-date: Mon\r\nA: b\r\n\r\nx\r\n", "Delivery-date: Tue\r\nA: b\r\n\r\nx\r\n"));
    assert_true(same("Envelope-To: a@x,\r\n\tb@x\r\nDELIVERY-DATE: Mon\r\nA: b\r\n c\r\n\r\nx\r\n", "envelope-to: b@x\r\nA: b\r\n c\r\n\r\nx\r\n"));
    assert_true(same("A: b\r\nDelivery-date: Mon\r\n", "A: b\r\nDelivery-date: Tue\r\n"));
    /* What only looks like it, and what continues a line that counts. */
    assert_false(same("Delivery-dates: Mon\r\n\r\n", "Delivery-dates: Tue\r\n\r\n"));
    assert_false(same("Delivery-date : Mon\r\n\r\n", "Delivery-date : Tue\r\n\r\n"));
    assert_false(same("X-Delivery-date: Mon\r\n\r\n", "X-Delivery-date: Tue\r\n\r\n"));
    assert_false(same("A: b\r\n Delivery-date: Mon\r\n\r\n", "A: b\r\n Delivery-date: Tue\r\n\r\n"));
    assert_false(same("Delivery-date: Mon\r\nA: b\r\n c\r\n\r\n", "Delivery-date: Mon\r\nA: b\r\n d\r\n\r\n"));
    assert_false(same("Deliver", "Delive"));
    /* The body counts, whatever it looks like. */
    assert_false(same("A: b\r\n\r\nDelivery-date: Mon\r\n", "A: b\r\n\r\nDelivery-date: Tue\r\n"));
    assert_false(same("\r\nDelivery-date: Mon\r\n", "\r\nDelivery-date: Tue\r\n"));
    assert_false(same("Delivery-date: Mon\r\n\r\n a\r\n", "Delivery-date: Mon\r\n\r\n b\r\n"));
}

static void test_key(void **state)
{
    struct digest d = digest_of("x", 1), e = digest_of("y", 1);
    unsigned char key[KNOWN_KEY], other[KNOWN_KEY];

    (void)state;
    known_key(d.octets, SPAN_OF("<1>"), "s@x", "r@x", key);
    known_key(d.octets, SPAN_OF("<1>"), "s@x", "r@x", other);
    assert_memory_equal(key, other, KNOWN_KEY);
    known_key(e.octets, SPAN_OF("<1>"), "s@x", "r@x", other);
    assert_memory_not_equal(key, other, KNOWN_KEY);
    known_key(d.octets, SPAN_OF("<2>"), "s@x", "r@x", other);
    assert_memory_not_equal(key, other, KNOWN_KEY);
    known_key(d.octets, SPAN_OF("<1>"), "s@xr", "@x", other);
    assert_memory_not_equal(key, other, KNOWN_KEY);
    known_key(d.octets, SPAN_OF("<1>"), "", "r@x", other);
    assert_memory_not_equal(key, other, KNOWN_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_text),
        cmocka_unit_test(test_what_passes),
        cmocka_unit_test(test_key),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
