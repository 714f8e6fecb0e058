/*
 * tls_client.c - asks clients for certificates, and reads addresses out of
 * those that were verified. What stands in one is its owner's text, signed by
 * an authority that may not have looked at it closely.
 */
#include "daemon/net/tls_client.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/mem.h"

enum {
    CHAIN_DEPTH = 4,            /* authorities between a client and one that is named */
    ADDRESS_MAX = 320,
};

/* --- what is asked for --- */

static void tell(tls_problem *problem, void *arg, const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    char text[4300];

    snprintf(text, sizeof text, "%s %s: %s", what, file, reason != NULL ? reason : "none found");
    problem(arg, text);
    ERR_clear_error();
}

static void load_authorities(SSL_CTX *ctx, const char *file, tls_problem *problem, void *arg)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);

    if (names == NULL || X509_STORE_load_file(SSL_CTX_get_cert_store(ctx), file) != 1) {
        tell(problem, arg, "could not read the client authorities in", file);
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return;
    }
    SSL_CTX_set_client_CA_list(ctx, names);
}

static void load_revoked(SSL_CTX *ctx, const char *file, tls_problem *problem, void *arg)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

    ASSERT(lookup != NULL);
    if (X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) < 1)
        tell(problem, arg, "could not read the revocation list in", file);
    else
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

static void add_digest(EVP_MD_CTX *sum, const X509_OBJECT *object)
{
    const X509 *cert = X509_OBJECT_get0_X509(object);
    const X509_CRL *crl = X509_OBJECT_get0_X509_CRL((X509_OBJECT *)(uintptr_t)object);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (cert != NULL)
        ASSERT(X509_digest(cert, EVP_sha256(), digest, &len) == 1);
    else if (crl != NULL)
        ASSERT(X509_CRL_digest(crl, EVP_sha256(), digest, &len) == 1);
    EVP_DigestUpdate(sum, digest, len);
}

/*
 * A ticket has the verdict on the client's certificate in it. It must not be
 * good at a listener with other authorities, nor where something was revoked
 * since: what is asked for and checked is in the name of where it was made.
 */
static void bind_sessions(SSL_CTX *ctx, const struct tls_clients *clients)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    ASSERT(sum != NULL && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1);
    EVP_DigestUpdate(sum, &clients->verify, sizeof clients->verify);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
        add_digest(sum, sk_X509_OBJECT_value(objects, i));
    ASSERT(EVP_DigestFinal_ex(sum, id, &len) == 1 && len <= SSL_MAX_SID_CTX_LENGTH);
    EVP_MD_CTX_free(sum);
    SSL_CTX_set_session_id_context(ctx, id, len);
}

void tls_client_setup(SSL_CTX *ctx, const struct tls_clients *clients, tls_problem *problem, void *arg)
{
    if (clients->verify == TLS_VERIFY_NONE)
        return;
    load_authorities(ctx, clients->ca, problem, arg);
    if (clients->crl != NULL && clients->crl[0] != '\0')
        load_revoked(ctx, clients->crl, problem, arg);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH);
    SSL_CTX_set_verify(
        ctx, SSL_VERIFY_PEER | (clients->verify == TLS_VERIFY_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    bind_sessions(ctx, clients);
}

/* --- what was proved --- */

/* A copy of what can be an address; NULL for all else, a NUL in it too. */
static char *address_of(const ASN1_STRING *string)
{
    const unsigned char *data = ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);

    if (len <= 0 || len > ADDRESS_MAX || memchr(data, '@', (size_t)len) == NULL)
        return NULL;
    for (int i = 0; i < len; i++) {
        if (data[i] <= ' ' || data[i] >= 0x7F)
            return NULL;
    }
    return mem_strn((const char *)data, (size_t)len);
}

static char *alternative_name(const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char *found = NULL;

    for (int i = 0; found == NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_EMAIL)
            found = address_of(name->d.rfc822Name);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static char *subject_part(const X509 *cert, int nid)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, nid, -1);

    return at >= 0 ? address_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))) : NULL;
}

char *tls_client_identity(SSL *ssl, enum tls_identity identity)
{
    const X509 *cert = SSL_get0_peer_certificate(ssl);

    if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    /* A session that is resumed has the verdict of its first handshake: the certificate may have expired since. */
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        return NULL;
    switch (identity) {
    case TLS_IDENTITY_SAN: return alternative_name(cert);
    case TLS_IDENTITY_EMAIL: return subject_part(cert, NID_pkcs9_emailAddress);
    case TLS_IDENTITY_CN: return subject_part(cert, NID_commonName);
    }
    return NULL;
}
