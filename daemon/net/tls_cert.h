/*
 * tls_cert.h - one certificate with its chain and its key, from PEM files.
 */
#ifndef POSTERN_NET_TLS_CERT_H
#define POSTERN_NET_TLS_CERT_H

#include <openssl/types.h>

#include "daemon/net/tls_client.h"

struct tls_cert {
    X509 *own;
    STACK_OF(X509) *chain;
    EVP_PKEY *key;
};

/*
 * Before OpenSSL is used for the first time in this process: what it frees while it decodes a key
 * is wiped from then on. False where it was used before.
 */
bool tls_cert_wipe_keys(void);

/* key_file may be empty: then it is in cert_file. False after problem() was called; nothing is left to be freed. */
bool tls_cert_load(struct tls_cert *cert, const char *cert_file, const char *key_file, tls_problem *problem, void *arg);
void tls_cert_free(struct tls_cert *cert);

#endif
