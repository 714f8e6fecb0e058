/* tls_fixture.c - see tls_fixture.h. */
#include "tests/unit/tls_fixture.h"

static char tls_dir[64];
char tls_told[4096];

const char *tls_path(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", tls_dir, name);
    return path;
}

EVP_PKEY *make_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert_non_null(key);
    return key;
}

X509 *make_cert(const char *name, EVP_PKEY *key, long seconds)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);

    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

void write_pair(const char *file, const char *name, bool together)
{
    EVP_PKEY *key = make_key();
    X509 *cert = make_cert(name, key, 3600);
    char path[128];
    FILE *out;

    snprintf(path, sizeof path, "%s.pem", file);
    out = fopen(tls_path(path), "w");
    assert_non_null(out);
    PEM_write_X509(out, cert);
    if (!together) {
        fclose(out);
        snprintf(path, sizeof path, "%s.key", file);
        out = fopen(tls_path(path), "w");
        assert_non_null(out);
    }
    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void write_text(const char *file, const char *text)
{
    FILE *out = fopen(tls_path(file), "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

void note_problem(void *arg, const char *text)
{
    size_t len = strlen(tls_told);

    assert_null(arg);
    snprintf(tls_told + len, sizeof tls_told - len, "%s\n", text);
}

struct tls_ctx *load_ctx(const char *certificate, const char *key, const char *directory,
                                       struct tls_tickets *tickets)
{
    struct tls_files files = {
        .certificate = tls_path(certificate), .key = key[0] != '\0' ? tls_path(key) : "",
        .sni_directory = directory[0] != '\0' ? tls_path(directory) : "",
    };

    tls_told[0] = '\0';
    return tls_ctx_new(&files, TLS_1_2, tickets, note_problem, NULL);
}

int make_tls_dir(void **state)
{
    (void)state;
    snprintf(tls_dir, sizeof tls_dir, "/tmp/postern-test-tls-XXXXXX");
    return mkdtemp(tls_dir) != NULL ? 0 : -1;
}

int remove_tls_dir(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", tls_dir);
    return system(command);
}
