/*
 * tls_ctx.h - what a listener needs for TLS: certificates with their keys, by
 * name, and the rules by which handshakes are made.
 *
 * Made by a process that may read the keys, and inherited by those that may
 * not. Ready, it never changes: other certificates are another one, in new processes.
 */
#ifndef POSTERN_NET_TLS_CTX_H
#define POSTERN_NET_TLS_CTX_H

#include <openssl/types.h>

#include "daemon/base/options.h"
#include "daemon/net/tls_client.h"

struct tls_ctx;
struct tls_ends;
struct tls_tickets;

enum tls_version { TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 };

struct tls_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/net/tls.def"
#undef OPTION
};
extern const struct option_table tls_options;

/* Empty: none. */
struct tls_files {
    const char *certificate, *key, *sni_directory;
    struct tls_clients clients;
};

/*
 * Reads all of the files. Every problem is told, and then the result is NULL.
 * What is only odd (a key that everybody may read) is logged. tickets may be NULL, then no session is resumed; they
 * outlive the result.
 */
struct tls_ctx *tls_ctx_new(const struct tls_files *files, enum tls_version min_version, struct tls_tickets *tickets,
                            tls_problem *problem, void *arg);
/*
 * The same, of which only the files are read now: for a process that soon has no right to, and may
 * never need the rest, which takes longer than all else before a session. What is wrong in the files
 * is found by tls_ctx_ready(). Where clients are asked for certificates nothing is left for later, as
 * OpenSSL reads their files itself.
 */
struct tls_ctx *tls_ctx_later(const struct tls_files *files, enum tls_version min_version, struct tls_tickets *tickets,
                              tls_problem *problem, void *arg);
/*
 * Before its first connection; of one that tls_ctx_new() made nothing is left to be done. False: it
 * cannot be used, and every problem was logged; so is what is over.
 */
bool tls_ctx_ready(struct tls_ctx *ctx);
/* The same once more: it is freed with the last one. */
struct tls_ctx *tls_ctx_hold(struct tls_ctx *ctx);
/* Keys are overwritten. */
void tls_ctx_free(struct tls_ctx **ctx);

/* When what it was made of ends; as long as it is there. Nothing, until it is ready. */
const struct tls_ends *tls_ctx_ends(const struct tls_ctx *ctx);

/* A server's side of one connection; it is ready. The caller frees it. */
SSL *tls_ctx_ssl(struct tls_ctx *ctx);
/* The address that the client of such a connection has proved, to mem_free(); NULL where it has not. */
char *tls_ctx_identity(const struct tls_ctx *ctx, SSL *ssl);

#endif
