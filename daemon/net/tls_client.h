/*
 * tls_client.h - certificates of clients: which are asked for, who has signed
 * them, and what address they prove.
 */
#ifndef POSTERN_NET_TLS_CLIENT_H
#define POSTERN_NET_TLS_CLIENT_H

#include <openssl/types.h>
#include <stdbool.h>

/* What is called for a problem: one line of text. */
typedef void tls_problem(void *arg, const char *text);

enum tls_verify {
    TLS_VERIFY_NONE,        /* clients are not asked */
    TLS_VERIFY_OPTIONAL,    /* who has a certificate may show it; it has to be good */
    TLS_VERIFY_REQUIRE,     /* no handshake without */
};

/* Which part of a certificate is the address that it proves. */
enum tls_identity {
    TLS_IDENTITY_SAN,       /* rfc822Name of the subjectAltName, the first one (RFC 5280 section 4.2.1.6) */
    TLS_IDENTITY_EMAIL,     /* emailAddress of the subject, as old authorities have it */
    TLS_IDENTITY_CN,        /* the common name */
};

/* All zero: clients are not asked. Empty or NULL: none. */
struct tls_clients {
    enum tls_verify verify;
    enum tls_identity identity;
    const char *ca, *crl;   /* PEM files: authorities that sign certificates of clients; what they revoked */
};

/*
 * Reads the files and sets what a handshake asks for and checks, and that a
 * session can be resumed only where the same is asked for. Problems are told.
 */
void tls_client_setup(SSL_CTX *ctx, const struct tls_clients *clients, tls_problem *problem, void *arg);
/* The address that the client has proved, to mem_free(); NULL where it has not. After the handshake. */
char *tls_client_identity(SSL *ssl, enum tls_identity identity);

#endif
