/*
 * test_proxy.c - the PROXY protocol's headers: what is told, what is refused,
 * and that not an octet behind them is taken (N10).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/net/proxy.h"

static const char *why;

/* From a buffer of exactly that size, so that a sanitizer sees a read beyond it. */
static int parse(const void *data, size_t len, struct proxy_origin *o)
{
    char *copy = malloc(len > 0 ? len : 1);
    int result;

    memcpy(copy, data, len);
    why = NULL;
    result = proxy_parse((struct span){ copy, len }, o, &why);
    free(copy);
    if (result < 0)
        assert_non_null(why);
    return result;
}

static int parse_text(const char *text, struct proxy_origin *o)
{
    return parse(text, strlen(text), o);
}

static void version_1(void **state)
{
    static const struct {
        const char *text, *peer, *local;
    } good[] = {
        { "PROXY TCP4 192.0.2.1 198.51.100.2 4242 110\r\n", "192.0.2.1:4242", "198.51.100.2:110" },
        { "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535" },
        { "PROXY TCP4 1.2.3.4 1.2.3.5 0 0\r\n", "1.2.3.4:0", "1.2.3.5:0" },
        { "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 4242 995\r\n", "[2001:db8::1]:4242", "[2001:db8::2]:995" },
        { "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
        { "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "192.0.2.7:1", "[::1]:2" },
    };
    static const char unknown[] = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    struct proxy_origin o;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t len = strlen(good[i].text);
        char more[256];

        snprintf(more, sizeof more, "%sUSER anna\r\n", good[i].text);
        assert_int_equal(parse_text(more, &o), len);
        assert_true(o.known);
        assert_false(o.tls);
        assert_string_equal(o.peer, good[i].peer);
        assert_string_equal(o.local, good[i].local);
        /* In pieces, wherever it is cut. */
        for (size_t n = 0; n < len; n++)
            assert_int_equal(parse(good[i].text, n, &o), 0);
    }
    assert_int_equal(sizeof unknown - 1, 107);
    assert_int_equal(parse_text(unknown, &o), 107);
    assert_false(o.known);
    assert_int_equal(parse_text("PROXY UNKNOWN\r\n", &o), 15);
    assert_false(o.known);
}

static void version_1_refused(void **state)
{
    static const char *const bad[] = {
        "USER anna\r\n", "\r\nUSER", "P\r\n", "PROXY\r\n", "PROXY \r\n", "PROXY \n", "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2x\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n", "GET / HTTP/1.1\r\n", "\x16\x03\x01",
    };
    char line[200];
    struct proxy_origin o = { .peer = "as it was" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse_text(bad[i], &o), -1);
    assert_string_equal(o.peer, "as it was");
    /* One octet too long, with an end and without. */
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + 106, "\r\n", 2);
    assert_int_equal(parse(line, 108, &o), -1);
    assert_int_equal(parse(line, 106, &o), 0);
    assert_int_equal(parse(line, 107, &o), -1);
    assert_int_equal(parse(line, sizeof line, &o), -1);
}

/* --- version 2 --- */

static unsigned char header[5000];
static size_t header_len;

static void begin(unsigned char command, unsigned char family)
{
    static const unsigned char signature[12] = { 13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10 };

    memcpy(header, signature, sizeof signature);
    header[12] = command;
    header[13] = family;
    header_len = 16;
}

static void put(const void *data, size_t len)
{
    memcpy(header + header_len, data, len);
    header_len += len;
}

static void put_tlv(unsigned char type, const void *data, size_t len)
{
    unsigned char head[3] = { type, (unsigned char)(len >> 8), (unsigned char)len };

    put(head, sizeof head);
    put(data, len);
}

static int finish(struct proxy_origin *o)
{
    header[14] = (unsigned char)((header_len - 16) >> 8);
    header[15] = (unsigned char)(header_len - 16);
    return parse(header, header_len, o);
}

static const unsigned char v4[12] = { 192, 0, 2, 1, 198, 51, 100, 2, 0x10, 0x92, 0, 110 };
static const unsigned char v6[36] = { 0x20, 1, 0xD, 0xB8, [15] = 1, 0x20, 1, 0xD, 0xB8, [31] = 2, 0x10, 0x92, 3, 0xE3 };

static void version_2(void **state)
{
    static const unsigned char unix_addresses[216] = "/run/client";
    struct proxy_origin o;

    (void)state;
    begin(0x21, 0x11);
    put(v4, sizeof v4);
    assert_int_equal(finish(&o), 28);
    assert_true(o.known);
    assert_string_equal(o.peer, "192.0.2.1:4242");
    assert_string_equal(o.local, "198.51.100.2:110");
    for (size_t n = 0; n < 28; n++)
        assert_int_equal(parse(header, n, &o), 0);
    memcpy(header + 28, "USER", 4);
    assert_int_equal(parse(header, 32, &o), 28);

    begin(0x21, 0x21);
    put(v6, sizeof v6);
    put_tlv(4, "", 0);      /* PP2_TYPE_NOOP */
    put_tlv(0xEA, "a cloud's own", 13);
    assert_int_equal(finish(&o), header_len);
    assert_string_equal(o.peer, "[2001:db8::1]:4242");
    assert_string_equal(o.local, "[2001:db8::2]:995");

    begin(0x21, 0x31);
    put(unix_addresses, sizeof unix_addresses);
    assert_int_equal(finish(&o), header_len);
    assert_true(o.known);
    assert_string_equal(o.peer, "unix");

    begin(0x21, 0x00);
    assert_int_equal(finish(&o), 16);
    assert_false(o.known);
    /* LOCAL: whatever is in it. */
    begin(0x20, 0xFF);
    put("garbage", 7);
    assert_int_equal(finish(&o), 23);
    assert_false(o.known);
    assert_false(o.tls);
}

static void put_ssl(unsigned char client, unsigned char verify, const void *more, size_t len)
{
    unsigned char value[600] = { client, 0, 0, 0, verify };

    memcpy(value + 5, more, len);
    put_tlv(0x20, value, len + 5);
}

static void tls_facts(void **state)
{
    static const char facts[] = "\x21\0\7TLSv1.3" "\x23\0\x16TLS_AES_256_GCM_SHA384" "\x22\0\x10" "anna@example.org" "\x25\0\6" "EC256 ";
    struct proxy_origin o;

    (void)state;
    for (unsigned client = 0; client < 8; client++) {
        for (unsigned char verify = 0; verify < 2; verify++) {
            begin(0x21, 0x11);
            put(v4, sizeof v4);
            put_ssl((unsigned char)client, verify, facts, sizeof facts - 1);
            assert_int_equal(finish(&o), header_len);
            assert_int_equal(o.tls, client & 1);
            assert_string_equal(o.tls_version, "TLSv1.3");
            assert_string_equal(o.tls_cipher, "TLS_AES_256_GCM_SHA384");
            /* A name counts only if there was a certificate and it was found good. */
            assert_string_equal(o.client_name, (client & 6) != 0 && verify == 0 ? "anna@example.org" : "");
        }
    }
    /* What would forge a line of the log, or is too long, is not taken. */
    begin(0x21, 0x11);
    put(v4, sizeof v4);
    put_ssl(7, 0, "\x21\0\4a\nbc" "\x23\0\5" "a b\"c" "\x22\0\1\0", 19);
    assert_int_equal(finish(&o), header_len);
    assert_true(o.tls);
    assert_string_equal(o.tls_version, "");
    assert_string_equal(o.tls_cipher, "");
    assert_string_equal(o.client_name, "");
}

static void version_2_refused(void **state)
{
    static const unsigned char families[] = { 0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xF1 };
    static const unsigned char commands[] = { 0x00, 0x11, 0x22, 0x2F, 0x31, 0xF1 };
    struct proxy_origin o;

    (void)state;
    for (size_t i = 0; i < sizeof families; i++) {
        begin(0x21, families[i]);
        put(v6, sizeof v6);
        assert_int_equal(finish(&o), -1);
    }
    for (size_t i = 0; i < sizeof commands; i++) {
        begin(commands[i], 0x11);
        put(v4, sizeof v4);
        assert_int_equal(finish(&o), -1);
    }
    /* Shorter than its addresses; a TLV that is longer than what is left; half a head of one. */
    for (size_t len = 0; len < sizeof v4; len++) {
        begin(0x21, 0x11);
        put(v4, len);
        assert_int_equal(finish(&o), -1);
    }
    begin(0x21, 0x11);
    put(v4, sizeof v4);
    put("\4\0\5abcd", 7);
    assert_int_equal(finish(&o), -1);
    begin(0x21, 0x11);
    put(v4, sizeof v4);
    put("\4\0", 2);
    assert_int_equal(finish(&o), -1);
    begin(0x21, 0x11);
    put(v4, sizeof v4);
    put_tlv(0x20, "\1\0\0\0", 4);
    assert_int_equal(finish(&o), -1);
    begin(0x21, 0x11);
    put(v4, sizeof v4);
    put_ssl(1, 0, "\x21\0\x7Fxyz", 6);
    assert_int_equal(finish(&o), -1);
    /* The longest that is taken, and one more; that is refused before it has come. */
    begin(0x21, 0x00);
    memset(header + 16, 0, sizeof header - 16);
    header[14] = (PROXY_MAX - 16) >> 8;
    header[15] = (PROXY_MAX - 16) & 0xFF;
    assert_int_equal(parse(header, PROXY_MAX - 1, &o), 0);
    header[15]++;
    assert_int_equal(parse(header, 16, &o), -1);
    /* Not the signature. */
    begin(0x21, 0x00);
    header[11] = '\r';
    assert_int_equal(parse(header, 16, &o), -1);
}

/* Whatever the octets: an answer, within bounds. */
static void any_octets(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        struct proxy_origin o;
        size_t changes = (size_t)round % 4;

        begin(0x21, (unsigned char)(round % 2 ? 0x11 : 0x21));
        put(round % 2 ? v4 : v6, round % 2 ? sizeof v4 : sizeof v6);
        put_ssl(7, 0, "\x21\0\7TLSv1.3\x22\0\1a", 14);
        header[14] = 0;
        header[15] = (unsigned char)(header_len - 16);
        for (size_t i = 0; i < changes; i++) {
            seed = seed * 1664525 + 1013904223;
            header[12 + (seed >> 8) % (header_len - 12)] = (unsigned char)(seed >> 24);
        }
        int len = parse(header, header_len, &o);
        assert_true(len <= (int)header_len);
        if (len > 0) {
            assert_true(strlen(o.peer) < sizeof o.peer && strlen(o.local) < sizeof o.local);
            assert_true(strlen(o.client_name) < sizeof o.client_name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1), cmocka_unit_test(version_1_refused), cmocka_unit_test(version_2),
        cmocka_unit_test(tls_facts), cmocka_unit_test(version_2_refused), cmocka_unit_test(any_octets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
