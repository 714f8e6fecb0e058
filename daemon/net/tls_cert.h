/*
 * tls_cert.h - one certificate with its chain and its key, from PEM files.
 */
#ifndef POSTERN_NET_TLS_CERT_H
#define POSTERN_NET_TLS_CERT_H

#include <openssl/types.h>

#include "daemon/base/buf.h"
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

/* What a certificate is made of, as it stands in its files. All zero: nothing. */
struct tls_pem {
    char *cert_file, *key_file; /* the same where both are in one */
    struct buf cert, key;       /* key: empty, then */
    bool exposed;               /* everybody may read the key */
};

/* key_file may be empty: then it is in cert_file. False after problem() was called; nothing is left to be freed. */
bool tls_pem_read(struct tls_pem *pem, const char *cert_file, const char *key_file, tls_problem *problem, void *arg);
/* What was read is overwritten. */
void tls_pem_free(struct tls_pem *pem);

/* False after problem() was called; nothing is left to be freed. */
bool tls_cert_make(struct tls_cert *cert, const struct tls_pem *pem, tls_problem *problem, void *arg);
void tls_cert_free(struct tls_cert *cert);

#endif
