/*
 * What comes before there is a session: the handshake of TLS, and the names in
 * certificates of clients. OpenSSL parses; ours are the answers to the name
 * and the protocols that a client asks for, and what is taken for an address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/tls_client.c"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tls_fixture.h"

static struct tls_ctx *ctx;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    log_set_level(LOG_LEVEL_ERROR);
    make_tls_dir(NULL);
    MUST(mkdir(tls_path("names"), 0700) == 0);
    write_pair("server", "mail.example.org", false);
    write_pair("names/other.example.org", "other.example.org", true);
    write_pair("names/_.example.net", "*.example.net", true);
    ctx = load_ctx("server.pem", "server.key", "names", NULL);
    remove_tls_dir(NULL);
    MUST(ctx != NULL);
    return 0;
}

static void handshake(struct span in)
{
    SSL *ssl = tls_ctx_ssl(ctx);
    BIO *from = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
    struct cuts c = take_cuts(&in);
    char *identity, octets[256];

    MUST(ssl != NULL && from != NULL && to != NULL);
    SSL_set_bio(ssl, from, to);
    SSL_set_accept_state(ssl);
    while (in.len > 0) {
        struct span piece = cut(&c, &in);

        BIO_write(from, piece.at, (int)piece.len);
        ERR_clear_error();
        if (SSL_read(ssl, octets, sizeof octets) <= 0 && SSL_get_error(ssl, 0) == SSL_ERROR_SSL)
            break;
    }
    MUST(SSL_is_init_finished(ssl) == 0);       /* nobody here has made a key */
    identity = tls_ctx_identity(ctx, ssl);
    MUST(identity == NULL);
    SSL_free(ssl);
}

static void check_address(char *address)
{
    if (address == NULL)
        return;
    MUST(strlen(address) <= ADDRESS_MAX && strchr(address, '@') != NULL);
    for (const char *at = address; *at != '\0'; at++)
        MUST(*at > ' ' && *at <= '~');
    mem_free(address);
}

static void certificate(struct span in)
{
    const unsigned char *at = (const unsigned char *)in.at;
    X509 *cert = d2i_X509(NULL, &at, (long)in.len);

    if (cert != NULL) {
        check_address(alternative_name(cert));
        check_address(subject_part(cert, NID_pkcs9_emailAddress));
        check_address(subject_part(cert, NID_commonName));
        X509_free(cert);
    }
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };

    if (take_octet(&in) & 1)
        certificate(in);
    else
        handshake(in);
    return 0;
}
