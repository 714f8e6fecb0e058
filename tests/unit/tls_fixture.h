/*
 * tls_fixture.h - certificates made on the spot, for the tests of TLS.
 */
#ifndef TESTS_TLS_FIXTURE_H
#define TESTS_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "daemon/net/tls_ctx.h"

extern char tls_told[4096];     /* problems, a line each */
const char *tls_path(const char *name);
EVP_PKEY *make_key(void);
X509 *make_cert(const char *name, EVP_PKEY *key, long seconds);
/* NAME.pem, and the key in NAME.key or in the same file. */
void write_pair(const char *file, const char *name, bool together);
void write_text(const char *file, const char *text);
void note_problem(void *arg, const char *text);
struct tls_ctx *load_ctx(const char *certificate, const char *key, const char *directory, struct tls_tickets *tickets);
int make_tls_dir(void **state);
int remove_tls_dir(void **state);

#endif
