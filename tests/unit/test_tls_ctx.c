/*
 * test_tls_ctx.c - certificates and keys from files, names, ALPN, ticket keys
 * (T12, T13, T16). Handshakes run in memory, without a conn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "daemon/base/log.h"
#include "daemon/net/tls_tickets.h"
#include "tests/unit/tls_fixture.h"

/* ------------------------------------------------------------------ files */

static void test_forms(void **state)
{
    struct tls_ctx *ctx;

    (void)state;
    write_pair("two", "two.example", false);
    write_pair("one", "one.example", true);
    ctx = load_ctx("two.pem", "two.key", "", NULL);
    assert_string_equal(tls_told, "");
    tls_ctx_free(&ctx);
    ctx = load_ctx("one.pem", "", "", NULL);
    assert_non_null(ctx);
    tls_ctx_free(&ctx);
    assert_null(ctx);
}

static void wrong(const char *certificate, const char *key, const char *directory, const char *words)
{
    struct tls_ctx *ctx = load_ctx(certificate, key, directory, NULL);

    assert_null(ctx);
    if (strstr(tls_told, words) == NULL)
        fail_msg("wanted \"%s\", got: %s", words, tls_told);
}

static void test_wrong_files(void **state)
{
    EVP_PKEY *key = make_key();
    FILE *out = fopen(tls_path("locked.key"), "w");

    (void)state;
    PEM_write_PrivateKey(out, key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL, NULL);
    fclose(out);
    EVP_PKEY_free(key);
    write_pair("good", "good.example", false);
    write_pair("other", "other.example", false);
    write_text("empty.pem", "");
    write_text("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    mkdir(tls_path("folder.pem"), 0700);

    wrong("none.pem", "", "", "could not open");
    wrong("folder.pem", "", "", "is not a file");
    wrong("empty.pem", "", "", "no certificate in");
    wrong("cut.pem", "", "", "no certificate in");
    wrong("good.pem", "", "", "no private key in");
    wrong("good.pem", "none.key", "", "could not open");
    wrong("good.pem", "empty.pem", "", "no private key in");
    wrong("good.pem", "other.key", "", "does not match the certificate in");
    wrong("good.pem", "locked.key", "", "has a passphrase");
    wrong("good.pem", "good.key", "no-directory", "could not open");
}

/* Every broken one of a directory is told, not the first only. */
static void test_wrong_directory(void **state)
{
    (void)state;
    mkdir(tls_path("broken"), 0700);
    write_pair("default", "default.example", false);
    write_pair("broken/fine.example", "fine.example", true);
    write_text("broken/a.example.pem", "x");
    write_text("broken/b.example.pem", "y");
    write_text("broken/notes.txt", "not a certificate");
    wrong("default.pem", "default.key", "broken", "a.example.pem");
    assert_non_null(strstr(tls_told, "b.example.pem"));
    assert_null(strstr(tls_told, "notes"));
}

/* ------------------------------------------------------------- handshakes */

struct shaken {
    int result;                 /* of the client */
    unsigned long error;
    char subject[64];
    char protocol[16];
};

static int carry(SSL *from, SSL *to)
{
    char data[16384];
    int n = BIO_read(SSL_get_wbio(from), data, sizeof data);

    return n > 0 ? BIO_write(SSL_get_rbio(to), data, n) : 0;
}

/* A client that asks for this name and offers these protocols, against ctx. */
static struct shaken shake(struct tls_ctx *ctx, const char *name, const char *alpn)
{
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    SSL *client = SSL_new(client_ctx), *server = tls_ctx_ssl(ctx);
    struct shaken s = { .result = -1 };
    const unsigned char *chosen;
    unsigned len;

    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    if (name != NULL)
        SSL_ctrl(client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name);
    if (alpn != NULL)
        assert_int_equal(SSL_set_alpn_protos(client, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
    for (int i = 0; i < 10 && s.result != 1; i++) {
        ERR_clear_error();
        s.result = SSL_do_handshake(client);
        if (s.result != 1 && ERR_peek_error() != 0) {
            s.error = ERR_peek_error();
            break;
        }
        carry(client, server);
        ERR_clear_error();
        (void)SSL_do_handshake(server);
        carry(server, client);
    }
    if (s.result == 1) {
        X509 *peer = SSL_get1_peer_certificate(client);
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, s.subject, sizeof s.subject);
        X509_free(peer);
        SSL_get0_alpn_selected(client, &chosen, &len);
        snprintf(s.protocol, sizeof s.protocol, "%.*s", (int)len, (const char *)chosen);
    }
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    ERR_clear_error();
    return s;
}

/* T12: also where the name is written in another way, or is none. */
static void test_names(void **state)
{
    static const struct { const char *asked, *subject; } table[] = {
        { "a.example", "a.example" }, { "A.Example", "a.example" }, { "b.example", "b.example" },
        { "c.example", "default.example" }, { "a.example.", "a.example" }, { "A.EXAMPLE.", "a.example" },
        { "x.wild.example.", "wild" }, { "a.example..", "default.example" }, { ".a.example", "default.example" },
        /* RFC 6066 has no addresses in SNI: what is there without one gets its certificate, or the default one. */
        { "192.0.2.1", "192.0.2.1" }, { "192.0.2.1.", "192.0.2.1" }, { "192.0.2.2", "default.example" }, { "2001:db8::1", "default.example" },
        { "[2001:db8::1]", "default.example" }, { "..", "default.example" }, { "sub.a.example", "default.example" },
        { "../a.example", "default.example" }, { ".", "default.example" }, { NULL, "default.example" },
    };
    struct tls_ctx *ctx;

    (void)state;
    mkdir(tls_path("names"), 0700);
    write_pair("default", "default.example", true);
    write_pair("names/A.example", "a.example", true);
    write_pair("names/b.example", "b.example", false);
    write_pair("names/_.wild.example", "wild", true);
    write_pair("names/192.0.2.1", "192.0.2.1", true);
    ctx = load_ctx("default.pem", "", "names", NULL);
    assert_string_equal(tls_told, "");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct shaken s = shake(ctx, table[i].asked, NULL);

        assert_int_equal(s.result, 1);
        assert_string_equal(s.subject, table[i].subject);
    }
    tls_ctx_free(&ctx);
}

/* With the rights that are gone by then only the files are read. */
static void test_later(void **state)
{
    char certificate[128], directory[128];
    struct tls_files files = { .certificate = certificate, .key = "", .sni_directory = directory };
    struct tls_ctx *ctx;

    (void)state;
    snprintf(certificate, sizeof certificate, "%s", tls_path("later.pem"));
    snprintf(directory, sizeof directory, "%s", tls_path("laters"));
    mkdir(tls_path("laters"), 0700);
    write_pair("later", "later.example", true);
    write_pair("laters/a.example", "a.example", false);
    tls_told[0] = '\0';
    ctx = tls_ctx_later(&files, TLS_1_2, NULL, note_problem, NULL);
    assert_non_null(ctx);
    assert_string_equal(tls_told, "");
    unlink(tls_path("laters/a.example.pem"));
    unlink(tls_path("laters/a.example.key"));
    write_text("later.pem", "another one");
    assert_true(tls_ctx_ready(ctx));
    assert_true(tls_ctx_ready(ctx));
    assert_string_equal(shake(ctx, "a.example", NULL).subject, "a.example");
    assert_string_equal(shake(ctx, NULL, NULL).subject, "later.example");
    tls_ctx_free(&ctx);

    /* What is in them shows when it is needed; that one cannot be read, at once. */
    ctx = tls_ctx_later(&files, TLS_1_2, NULL, note_problem, NULL);
    assert_non_null(ctx);
    assert_string_equal(tls_told, "");
    assert_false(tls_ctx_ready(ctx));
    assert_false(tls_ctx_ready(ctx));
    tls_ctx_free(&ctx);
    unlink(tls_path("later.pem"));
    assert_null(tls_ctx_later(&files, TLS_1_2, NULL, note_problem, NULL));
    assert_non_null(strstr(tls_told, "could not open"));
}

/* T13 */
static void test_alpn(void **state)
{
    static const char *const refused[] = { "\4imap", "\2h2\10http/1.1", "\3pop", "\5pop33", "\4POP3" };
    struct tls_ctx *ctx;
    struct shaken s;

    (void)state;
    write_pair("default", "default.example", true);
    ctx = load_ctx("default.pem", "", "", NULL);
    s = shake(ctx, NULL, "\4pop3");
    assert_int_equal(s.result, 1);
    assert_string_equal(s.protocol, "pop3");
    s = shake(ctx, NULL, "\4imap\4pop3");
    assert_string_equal(s.protocol, "pop3");
    s = shake(ctx, "asked.example", NULL);      /* and there is no directory of names */
    assert_int_equal(s.result, 1);
    assert_string_equal(s.protocol, "");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        s = shake(ctx, NULL, refused[i]);
        assert_int_not_equal(s.result, 1);
        assert_int_equal(ERR_GET_REASON(s.error), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    }
    tls_ctx_free(&ctx);
}

static void test_holds(void **state)
{
    struct tls_ctx *ctx, *same;

    (void)state;
    write_pair("default", "default.example", true);
    ctx = load_ctx("default.pem", "", "", NULL);
    same = tls_ctx_hold(ctx);
    tls_ctx_free(&ctx);
    assert_int_equal(shake(same, NULL, NULL).result, 1);
    tls_ctx_free(&same);
}

static void test_versions(void **state)
{
    static const struct { const char *word; int number; } rows[] = {
        { "1.0", TLS1_VERSION }, { "1.1", TLS1_1_VERSION }, { "1.2", TLS1_2_VERSION }, { "1.3", TLS1_3_VERSION },
    };
    const struct option *option = options_row(&tls_options, "tls_min");
    struct tls_files files = { .key = "", .sni_directory = "" };

    (void)state;
    write_pair("default", "default.example", true);
    files.certificate = tls_path("default.pem");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_ctx *ctx = tls_ctx_new(&files, (enum tls_version)i, NULL, note_problem, NULL);
        SSL *ssl = tls_ctx_ssl(ctx);

        assert_string_equal(option->words[i], rows[i].word);
        assert_int_equal(SSL_get_min_proto_version(ssl), rows[i].number);
        SSL_free(ssl);
        tls_ctx_free(&ctx);
    }
}

/* ---------------------------------------------------------------- tickets */

/* Two processes that had the same keys once go on having the same, by the clock alone. */
static void test_ticket_keys(void **state)
{
    struct tls_tickets *a = tls_tickets_new(1000, 5000), *b = tls_tickets_copy(a);
    struct ticket_key first, second;
    bool old;

    (void)state;
    assert_int_equal(tls_tickets_life(b), 1000);
    first = *tls_tickets_current(a, 5000);
    assert_memory_equal(tls_tickets_current(b, 5999), &first, sizeof first);
    assert_ptr_equal(tls_tickets_find(a, 5999, first.name, &old), tls_tickets_current(a, 5999));
    assert_false(old);

    second = *tls_tickets_current(a, 6000);
    assert_memory_not_equal(second.name, first.name, TICKET_NAME);
    assert_memory_not_equal(second.cipher, first.cipher, TICKET_KEY);
    assert_memory_not_equal(second.mac, first.mac, TICKET_KEY);
    assert_memory_equal(tls_tickets_find(a, 6000, first.name, &old), &first, sizeof first);
    assert_true(old);

    /* b was asleep. */
    for (uint64_t now = 6000; now < 500000; now += 700)
        (void)tls_tickets_current(a, now);
    assert_memory_equal(tls_tickets_current(a, 500000), tls_tickets_current(b, 500000), sizeof first);
    assert_null(tls_tickets_find(a, 500000, first.name, &old));
    assert_null(tls_tickets_find(b, 500000, second.name, &old));
    tls_tickets_free(&a);
    tls_tickets_free(&b);
    assert_null(a);
}

static void test_tickets_differ(void **state)
{
    struct tls_tickets *a = tls_tickets_new(1000, 0), *b = tls_tickets_new(1000, 0);
    bool old;

    (void)state;
    assert_null(tls_tickets_find(a, 0, tls_tickets_current(b, 0)->name, &old));
    tls_tickets_free(&a);
    tls_tickets_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_wrong_directory),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_ticket_keys),
        cmocka_unit_test(test_tickets_differ),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, make_tls_dir, remove_tls_dir);
}
