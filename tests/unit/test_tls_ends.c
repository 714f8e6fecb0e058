/*
 * test_tls_ends.c - when certificates, authorities and lists of revoked ones
 * end, and when that is told. The clock is an argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <cmocka.h>

#include <openssl/ssl.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/net/tls_ends.h"
#include "tests/unit/tls_fixture.h"

enum { DAY = 86400, HOUR = 3600 };
static const int64_t NOW = 1800000000;     /* 2027-01-15 08:00 UTC */

static char said[8192];
static unsigned lines, overs;

static void say(void *arg, bool over, const char *text)
{
    size_t len = strlen(said);

    assert_ptr_equal(arg, said);
    snprintf(said + len, sizeof said - len, "%s\n", text);
    lines++;
    overs += over;
}

static int64_t tell(struct tls_ends *ends, int64_t now)
{
    said[0] = '\0';
    lines = overs = 0;
    return tls_ends_tell(ends, now, 14 * DAY, say, said);
}

/* At once, daily, at the end, daily. */
static void test_told_in_time(void **state)
{
    struct tls_ends ends = TLS_ENDS_NONE;

    (void)state;
    tls_ends_note(&ends, TLS_END_CERTIFICATE, "a.pem", NOW + 20 * DAY);
    tls_ends_note(&ends, TLS_END_CLIENT_CRL, "crl.pem", INT64_MAX);
    assert_int_equal(ends.count, 1);
    assert_int_equal(tell(&ends, NOW), NOW + HOUR);
    assert_int_equal(lines, 0);
    tell(&ends, NOW + 6 * DAY - 1);
    assert_int_equal(lines, 0);
    tell(&ends, NOW + 6 * DAY);
    assert_string_equal(said, "the certificate in a.pem expires in 14 days, on 2027-02-04 08:00 UTC: from then on clients refuse it\n");
    assert_int_equal(overs, 0);
    tell(&ends, NOW + 7 * DAY - 1);
    assert_int_equal(lines, 0);
    tell(&ends, NOW + 7 * DAY);
    assert_int_equal(lines, 1);
    tell(&ends, NOW + 6 * DAY);                 /* the clock was set back */
    assert_int_equal(lines, 1);
    tell(&ends, NOW + 19 * DAY + HOUR);
    assert_non_null(strstr(said, "expires in 23 hours, on 2027-02-04 08:00 UTC"));
    /* The next look is no later than the end, and then it is told at once. */
    assert_int_equal(tell(&ends, NOW + 20 * DAY - 600), NOW + 20 * DAY);
    assert_int_equal(lines, 0);
    tell(&ends, NOW + 20 * DAY);
    assert_string_equal(said, "the certificate in a.pem expired on 2027-02-04 08:00 UTC: clients refuse it\n");
    assert_int_equal(overs, 1);
    tell(&ends, NOW + 21 * DAY - 1);
    assert_int_equal(lines, 0);
    tell(&ends, NOW + 21 * DAY);
    assert_int_equal(overs, 1);
    tls_ends_free(&ends);
}

/* A directory of thousands is not a log of thousands, nor as many metrics; the soonest come first. */
static void test_bounded(void **state)
{
    struct tls_ends ends = TLS_ENDS_NONE;
    struct buf text = BUF_EMPTY;
    char file[32];
    size_t series = 0;

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(file, sizeof file, "%d.pem", i);
        tls_ends_note(&ends, TLS_END_CERTIFICATE, file, NOW + 250 - i);
    }
    tell(&ends, NOW);
    assert_int_equal(lines, 21);
    assert_int_equal(strncmp(said, "the certificate in 499.pem expired", 34), 0);
    assert_non_null(strstr(said, "\n480 more expire within that time, 230 of them have expired\n"));
    tls_ends_metrics(&ends, &text);
    buf_add(&text, "", 1);
    for (const char *at = text.data; (at = strstr(at, "\npostern_certificate_end_seconds{")) != NULL; at++)
        series++;
    assert_int_equal(series, 100);
    assert_non_null(strstr(text.data, "{kind=\"certificate\",file=\"499.pem\"} 1799999751\n"));
    buf_free(&text);
    tls_ends_free(&ends);
}

static void test_labels(void **state)
{
    struct tls_ends ends = TLS_ENDS_NONE, both = TLS_ENDS_NONE;
    struct buf text = BUF_EMPTY;

    (void)state;
    tls_ends_note(&ends, TLS_END_CLIENT_CRL, "a\"b\\c\nd", 7);
    tls_ends_note(&ends, TLS_END_CLIENT_CRL, "a\"b\\c\nd", 9);
    tls_ends_add(&both, &ends);
    tls_ends_add(&both, &ends);
    assert_int_equal(both.count, 1);
    tls_ends_metrics(&both, &text);
    buf_add(&text, "", 1);
    assert_non_null(strstr(text.data, "\npostern_certificate_end_seconds{kind=\"client_crl\",file=\"a\\\"b\\\\c\\nd\"} 7\n"));
    buf_free(&text);
    tls_ends_free(&both);
    tls_ends_free(&ends);
}

/* ------------------------------------------------------------- from files */

static EVP_PKEY *authority_key;
static time_t began;

static void write_cert(const char *file, const char *mode, const char *name, long seconds)
{
    X509 *cert = make_cert(name, authority_key, seconds);
    FILE *out = fopen(tls_path(file), mode);

    assert_non_null(out);
    PEM_write_X509(out, cert);
    fclose(out);
    X509_free(cert);
}

static void write_crl(const char *file, const char *mode, const char *issuer, long seconds)
{
    X509_CRL *crl = X509_CRL_new();
    X509_NAME *name = X509_NAME_new();
    ASN1_TIME *at = ASN1_TIME_new();
    FILE *out = fopen(tls_path(file), mode);

    assert_non_null(out);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)issuer, -1, -1, 0);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, name);
    X509_CRL_set1_lastUpdate(crl, X509_gmtime_adj(at, -7200));
    if (seconds != 0)
        X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(at, seconds));
    assert_true(X509_CRL_sign(crl, authority_key, EVP_sha256()) > 0);
    PEM_write_X509_CRL(out, crl);
    fclose(out);
    ASN1_TIME_free(at);
    X509_NAME_free(name);
    X509_CRL_free(crl);
}

static void assert_end(const struct tls_ends *ends, enum tls_end_kind kind, const char *file, long seconds)
{
    for (size_t i = 0; i < ends->count; i++) {
        if (ends->list[i].kind == kind && strcmp(ends->list[i].file, tls_path(file)) == 0) {
            assert_in_range(ends->list[i].at, began + seconds, time(NULL) + seconds);
            return;
        }
    }
    fail_msg("no end of %s", file);
}

/* The server's, one behind it in the chain, one by name, two authorities, and of two lists of one authority the later. */
static void test_files(void **state)
{
    struct tls_files files = {
        .certificate = "", .key = "", .sni_directory = "",
        .clients = { .verify = TLS_VERIFY_OPTIONAL, .ca = "", .crl = "" },
    };
    char paths[4][256];
    struct tls_ctx *ctx;

    (void)state;
    began = time(NULL);
    authority_key = make_key();
    mkdir(tls_path("names"), 0700);
    write_pair("mine", "mine.example", true);
    write_cert("mine.pem", "a", "intermediate", 1800);
    write_pair("names/other.example", "other.example", true);
    write_cert("ca.pem", "w", "one", 5000);
    write_cert("ca.pem", "a", "two", 4000);
    write_crl("crl.pem", "w", "one", -100);
    write_crl("crl.pem", "a", "one", 3000);
    write_crl("crl.pem", "a", "two", 0);
    files.certificate = strcpy(paths[0], tls_path("mine.pem"));
    files.sni_directory = strcpy(paths[1], tls_path("names"));
    files.clients.ca = strcpy(paths[2], tls_path("ca.pem"));
    files.clients.crl = strcpy(paths[3], tls_path("crl.pem"));
    tls_told[0] = '\0';
    ctx = tls_ctx_new(&files, TLS_1_2, NULL, note_problem, NULL);
    assert_string_equal(tls_told, "");
    const struct tls_ends *ends = tls_ctx_ends(ctx);
    assert_int_equal(ends->count, 5);
    assert_end(ends, TLS_END_CERTIFICATE, "mine.pem", 3600);
    assert_end(ends, TLS_END_CHAIN, "mine.pem", 1800);
    assert_end(ends, TLS_END_CERTIFICATE, "names/other.example.pem", 3600);
    assert_end(ends, TLS_END_CLIENT_CA, "ca.pem", 4000);
    assert_end(ends, TLS_END_CLIENT_CRL, "crl.pem", 3000);
    tls_ctx_free(&ctx);
    EVP_PKEY_free(authority_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_in_time), cmocka_unit_test(test_bounded), cmocka_unit_test(test_labels), cmocka_unit_test(test_files),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, make_tls_dir, remove_tls_dir);
}
