/*
 * tls_out.h - TLS to servers that we connect to: whose certificates are believed, and the client's
 * side of one connection.
 *
 * Made by a process that may read the file, and inherited by those that may not; it never changes. The
 * system's authorities are looked up one by one, in files that everybody may read, when one is needed.
 */
#ifndef POSTERN_NET_TLS_OUT_H
#define POSTERN_NET_TLS_OUT_H

#include <openssl/types.h>

#include "daemon/net/tls_client.h"

struct tls_out;

/*
 * ca: a PEM file of authorities; empty: those that the system believes. NULL after a problem was
 * told.
 */
struct tls_out *tls_out_new(const char *ca, tls_problem *problem, void *arg);
void tls_out_free(struct tls_out **out);
/*
 * For a server of this name or address, which its certificate has to be for: the handshake fails where
 * it is not, or nobody who is believed has signed it. For conn_start_tls_to(), which takes it.
 */
SSL *tls_out_ssl(struct tls_out *out, const char *host);

#endif
