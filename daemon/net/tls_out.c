/*
 * tls_out.c - the client's side of TLS (see tls_out.h).
 *
 * Must never leave out the verification, whatever it is asked for.
 */
#include "daemon/net/tls_out.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "daemon/base/mem.h"
#include "daemon/base/network.h"

struct tls_out {
    SSL_CTX *ctx;
};

struct tls_out *tls_out_new(const char *ca, tls_problem *problem, void *arg)
{
    struct tls_out *out = mem_zalloc(sizeof *out);
    char text[4300];

    out->ctx = SSL_CTX_new(TLS_client_method());
    ASSERT(out->ctx != NULL);
    SSL_CTX_set_options(out->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_mode(out->ctx,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(out->ctx, 1);
    SSL_CTX_set_session_cache_mode(out->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(out->ctx, SSL_VERIFY_PEER, NULL);
    ASSERT(SSL_CTX_set_min_proto_version(out->ctx, TLS1_2_VERSION) == 1);
    ERR_clear_error();
    if ((ca[0] != '\0' ? SSL_CTX_load_verify_file(out->ctx, ca) : SSL_CTX_set_default_verify_paths(out->ctx)) == 1)
        return out;
    snprintf(text, sizeof text, "could not read the authorities of old servers in %s: %s",
             ca[0] != '\0' ? ca : "the system's files", ERR_reason_error_string(ERR_peek_error()));
    problem(arg, text);
    ERR_clear_error();
    tls_out_free(&out);
    return NULL;
}

void tls_out_free(struct tls_out **outp)
{
    struct tls_out *out = *outp;

    if (out == NULL)
        return;
    *outp = NULL;
    SSL_CTX_free(out->ctx);
    mem_free(out);
}

SSL *tls_out_ssl(struct tls_out *out, const char *host)
{
    SSL *ssl = SSL_new(out->ctx);
    X509_VERIFY_PARAM *param;

    ASSERT(ssl != NULL);
    param = SSL_get0_param(ssl);
    if (network_is_address(host)) {
        ASSERT(X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1);
    } else {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        ASSERT(X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1);
    }
    SSL_set_connect_state(ssl);
    return ssl;
}
