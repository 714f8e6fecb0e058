/*
 * tls_ctx.c - the rules of a handshake: versions, ciphers, ALPN, which
 * certificate for which name, tickets.
 *
 * Decides nothing about POP3. A client's ClientHello is a stranger's: whatever
 * it says ends in a certificate, in an alert, or is passed over.
 */
#include "daemon/net/tls_ctx.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/tls_cert.h"
#include "daemon/net/tls_ends.h"
#include "daemon/net/tls_tickets.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct tls_settings, field) },
#include "daemon/net/tls.def"
#undef OPTION
};
const struct option_table tls_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct tls_settings) };

enum { NAME_LEN = 255 };        /* of a host, in SNI and in the name of a file */

/* The certificate of one name; there may be another one, with another kind of key, behind it. */
struct named {
    char *name;                 /* lower case */
    struct tls_pem pem;         /* until the certificate is made */
    struct tls_cert cert;
};

struct tls_ctx {
    unsigned holds;
    SSL_CTX *ssl;               /* NULL: nobody has needed it yet */
    enum tls_version min_version;
    enum tls_identity identity;
    struct tls_tickets *tickets;
    struct tls_pem pem;         /* until the certificate is made */
    struct tls_cert cert;
    struct named *names;        /* sorted; `_.example.net` is for all names directly below example.net */
    size_t name_count;
    struct tls_ends ends;
};

/* --- versions --- */

static const struct version {
    int number;
    const char *ciphers;        /* of TLS before 1.3 */
} versions[] = {
    /* SHA-1, without which these two cannot be spoken, the library takes at level 0 only. */
    [TLS_1_0] = { TLS1_VERSION, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:kRSA+AES:!AESCCM:@SECLEVEL=0" },
    [TLS_1_1] = { TLS1_1_VERSION, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:kRSA+AES:!AESCCM:@SECLEVEL=0" },
    /* RFC 9325 section 4.2: forward secrecy and AEAD always. */
    [TLS_1_2] = { TLS1_2_VERSION, "ECDHE+AESGCM:ECDHE+CHACHA20" },
    [TLS_1_3] = { TLS1_3_VERSION, "ECDHE+AESGCM" },
};

/* --- ALPN --- */

/*
 * A client that names protocols and not ours was sent here by somebody who
 * would have it speak another one to us (RFC 7301 section 3.2; ALPACA).
 */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\4pop3";

    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at + 1 < in_len && at + 1 + in[at] <= in_len; at += 1u + in[at]) {
        if (in[at] == ours[0] && memcmp(in + at + 1, ours + 1, ours[0]) == 0) {
            *out = in + at + 1;
            *out_len = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* --- names --- */

static int compare_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* The first of this name, NULL if there is none. */
static const struct named *find_name(const struct tls_ctx *ctx, char *name)
{
    const struct named key = { .name = name };
    const struct named *found = bsearch(&key, ctx->names, ctx->name_count, sizeof *ctx->names, compare_names);

    while (found != NULL && found > ctx->names && compare_names(found - 1, &key) == 0)
        found--;
    return found;
}

/* Its own certificate, or that of all names directly below its domain. name is changed. */
static const struct named *find_host(const struct tls_ctx *ctx, char *name)
{
    const struct named *found = find_name(ctx, name);
    char *dot = strchr(name, '.');

    if (found != NULL || dot == NULL || dot == name)
        return found;
    dot[-1] = '_';
    return find_name(ctx, dot - 1);
}

/*
 * Without the dot of the root, which some clients leave (RFC 6066 section 3: there is none). False
 * for what cannot be the name of a host.
 */
static bool lower_name(const char *in, size_t len, char out[NAME_LEN + 1])
{
    if (len > 1 && in[len - 1] == '.')
        len--;
    if (len == 0 || len > NAME_LEN || in[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)in[i];

        if (!isalnum(c) && c != '-' && c != '.' && c != '_')
            return false;
        out[i] = (char)tolower(c);
    }
    out[len] = '\0';
    return true;
}

/* SNI: the certificate of the name that the client asks for. A name that is not known is not an error (T12). */
static int choose_certificate(SSL *ssl, void *arg)
{
    const struct tls_ctx *ctx = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char name[NAME_LEN + 1];
    const struct named *found, *end = ctx->names + ctx->name_count;

    if (ctx->name_count == 0 || asked == NULL || !lower_name(asked, strlen(asked), name))
        return 1;
    found = find_host(ctx, name);
    if (found == NULL)
        return 1;
    /* First none at all: of two kinds of keys the client would choose, and might take the other name's. */
    SSL_certs_clear(ssl);
    for (const struct named *n = found; n < end && compare_names(n, found) == 0; n++) {
        if (SSL_use_cert_and_key(ssl, n->cert.own, n->cert.key, n->cert.chain, 1) != 1)
            return 0;
    }
    return 1;
}

struct telling {
    tls_problem *problem;
    void *arg;
    unsigned count;
};

static void tell(struct telling *t, const char *text)
{
    t->count++;
    t->problem(t->arg, text);
}

static void tell_cert(void *arg, const char *text)
{
    tell(arg, text);
}

static void add_name(struct tls_ctx *ctx, const char *directory, const char *file, struct telling *t)
{
    size_t len = strlen(file), name_len;
    char name[NAME_LEN + 1], cert_file[4096 + NAME_LEN + 8], key_file[sizeof cert_file];
    struct named *n;

    if (len <= 4 || strcmp(file + len - 4, ".pem") != 0)
        return;
    len -= 4;
    name_len = strcspn(file, "+");
    if (!lower_name(file, name_len < len ? name_len : len, name)) {
        log_warning(NULL, "%s/%s is ignored: its name is not a host name", directory, file);
        return;
    }
    snprintf(cert_file, sizeof cert_file, "%s/%s", directory, file);
    snprintf(key_file, sizeof key_file, "%s/%.*s.key", directory, (int)len, file);
    if (access(key_file, F_OK) < 0)
        key_file[0] = '\0';
    ctx->names = mem_resize(ctx->names, ctx->name_count + 1, sizeof *ctx->names);
    n = &ctx->names[ctx->name_count];
    *n = (struct named){ .name = NULL };
    if (!tls_pem_read(&n->pem, cert_file, key_file, tell_cert, t))
        return;
    n->name = mem_str(name);
    ctx->name_count++;
}

static void read_directory(struct tls_ctx *ctx, const char *path, struct telling *t)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (dir == NULL) {
        char text[4300];

        snprintf(text, sizeof text, "could not open %s: %s", path, strerror(errno));
        tell(t, text);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        add_name(ctx, path, entry->d_name, t);
    closedir(dir);
    if (ctx->name_count > 1)
        qsort(ctx->names, ctx->name_count, sizeof *ctx->names, compare_names);
}

static bool make_cert(struct tls_ctx *ctx, struct tls_cert *cert, struct tls_pem *pem, struct telling *t)
{
    bool made = pem->cert_file != NULL && tls_cert_make(cert, pem, tell_cert, t);

    if (made)
        tls_ends_note_chain(&ctx->ends, pem->cert_file, cert->own, cert->chain);
    return made;
}

static void make_names(struct tls_ctx *ctx, struct telling *t)
{
    for (size_t i = 0; i < ctx->name_count; i++) {
        struct named *n = &ctx->names[i];
        bool made = make_cert(ctx, &n->cert, &n->pem, t);

        tls_pem_free(&n->pem);
        /* Only the client can choose, and it chooses by the kind of key. */
        if (made && i > 0 && n[-1].cert.key != NULL && compare_names(n - 1, n) == 0 &&
            EVP_PKEY_get_base_id(n[-1].cert.key) == EVP_PKEY_get_base_id(n->cert.key)) {
            char text[2 * NAME_LEN];

            snprintf(text, sizeof text, "two certificates for %s have the same type of key", n->name);
            tell(t, text);
        }
    }
}

/* --- tickets --- */

static int use_key(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                   int sealing)
{
    /* OpenSSL takes no const here, and writes nowhere. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)"sha256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* -1 failed, 0 not our ticket, 1 good, 2 good and to be replaced. */
static int seal_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                       int sealing)
{
    struct tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct ticket_key *key;
    bool old;

    if (sealing) {
        key = tls_tickets_current(ctx->tickets, clock_ms());
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
        memcpy(name, key->name, TICKET_NAME);
        return use_key(key, iv, cipher, mac, 1) ? 1 : -1;
    }
    key = tls_tickets_find(ctx->tickets, clock_ms(), name, &old);
    if (key == NULL)
        return 0;
    if (!use_key(key, iv, cipher, mac, 0))
        return -1;
    return old ? 2 : 1;
}

static void set_tickets(SSL_CTX *ssl, struct tls_tickets *tickets)
{
    static const unsigned char id[] = "postern";

    /* What is remembered is in the ticket: no process can look into another one's memory. */
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    if (tickets == NULL) {
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ssl, 0);
        return;
    }
    SSL_CTX_set_session_id_context(ssl, id, sizeof id - 1);
    SSL_CTX_set_timeout(ssl, (long)(tls_tickets_life(tickets) / 1000));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, seal_ticket);
    /* POP3 clients have one connection at a time to an account. */
    SSL_CTX_set_num_tickets(ssl, 1);
}

/* --- life --- */

static bool set_rules(struct tls_ctx *ctx, const struct version *version)
{
    SSL_CTX *ssl = ctx->ssl;

    SSL_CTX_set_app_data(ssl, ctx);
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                             SSL_OP_PRIORITIZE_CHACHA | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_mode(ssl,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One read of the socket for all that has come. */
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    SSL_CTX_set_cert_cb(ssl, choose_certificate, ctx);
    set_tickets(ssl, ctx->tickets);
    return SSL_CTX_set_min_proto_version(ssl, version->number) == 1 &&
           SSL_CTX_set_cipher_list(ssl, version->ciphers) == 1;
}

/* Is each of them good enough for the rules (a key of 512 bits is not)? */
static void use_certificates(struct tls_ctx *ctx, const char *file, struct telling *t)
{
    char text[4300];
    SSL *ssl;

    if (SSL_CTX_use_cert_and_key(ctx->ssl, ctx->cert.own, ctx->cert.key, ctx->cert.chain, 1) != 1) {
        snprintf(text, sizeof text, "the certificate in %s cannot be used: %s", file,
                 ERR_reason_error_string(ERR_peek_error()));
        tell(t, text);
    }
    ssl = SSL_new(ctx->ssl);
    ASSERT(ssl != NULL);
    for (size_t i = 0; i < ctx->name_count; i++) {
        const struct tls_cert *cert = &ctx->names[i].cert;

        ERR_clear_error();
        SSL_certs_clear(ssl);
        if (SSL_use_cert_and_key(ssl, cert->own, cert->key, cert->chain, 1) == 1)
            continue;
        snprintf(text, sizeof text, "the certificate for %s cannot be used: %s", ctx->names[i].name,
                 ERR_reason_error_string(ERR_peek_error()));
        tell(t, text);
    }
    SSL_free(ssl);
    ERR_clear_error();
}

/* What takes the rights of who starts us, and little time. */
static struct tls_ctx *read_files(const struct tls_files *files, enum tls_version min_version,
                                  struct tls_tickets *tickets, struct telling *t)
{
    struct tls_ctx *ctx = mem_zalloc(sizeof *ctx);

    ctx->holds = 1;
    ctx->tickets = tickets;
    ctx->min_version = min_version;
    ctx->identity = files->clients.identity;
    if (files->sni_directory[0] != '\0')
        read_directory(ctx, files->sni_directory, t);
    tls_pem_read(&ctx->pem, files->certificate, files->key, tell_cert, t);
    return ctx;
}

/* What takes milliseconds, and no rights but to read what clients->ca and crl name. */
static void make(struct tls_ctx *ctx, const struct tls_clients *clients, struct telling *t)
{
    ctx->ssl = SSL_CTX_new(TLS_server_method());
    ASSERT(ctx->ssl != NULL && set_rules(ctx, &versions[ctx->min_version]));
    tls_client_setup(ctx->ssl, clients, tell_cert, t);
    tls_ends_note_store(&ctx->ends, SSL_CTX_get_cert_store(ctx->ssl), clients->ca, clients->crl);
    make_names(ctx, t);
    if (make_cert(ctx, &ctx->cert, &ctx->pem, t))
        use_certificates(ctx, ctx->pem.cert_file, t);
    tls_pem_free(&ctx->pem);
}

struct tls_ctx *tls_ctx_new(const struct tls_files *files, enum tls_version min_version, struct tls_tickets *tickets,
                            tls_problem *problem, void *arg)
{
    struct telling t = { .problem = problem, .arg = arg };
    struct tls_ctx *ctx = read_files(files, min_version, tickets, &t);

    make(ctx, &files->clients, &t);
    if (t.count > 0)
        tls_ctx_free(&ctx);
    return ctx;
}

struct tls_ctx *tls_ctx_later(const struct tls_files *files, enum tls_version min_version, struct tls_tickets *tickets,
                              tls_problem *problem, void *arg)
{
    struct telling t = { .problem = problem, .arg = arg };
    struct tls_ctx *ctx;

    if (files->clients.verify != TLS_VERIFY_NONE)
        return tls_ctx_new(files, min_version, tickets, problem, arg);
    /* Its own configuration, and what that includes, is readable now: a policy of the system's for ciphers, say. */
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    ctx = read_files(files, min_version, tickets, &t);
    if (t.count > 0)
        tls_ctx_free(&ctx);
    return ctx;
}

static void log_problem(void *arg, const char *text)
{
    (void)arg;
    log_error(NULL, "%s", text);
}

bool tls_ctx_ready(struct tls_ctx *ctx)
{
    static const struct tls_clients nobody = { .verify = TLS_VERIFY_NONE };
    struct telling t = { .problem = log_problem };

    if (ctx->ssl != NULL)
        return true;
    if (ctx->pem.cert_file == NULL)     /* it was tried before */
        return false;
    make(ctx, &nobody, &t);
    tls_ends_tell(&ctx->ends, (int64_t)time(NULL), 0, tls_ends_log, NULL);
    if (t.count > 0) {
        SSL_CTX_free(ctx->ssl);
        ctx->ssl = NULL;
    }
    return t.count == 0;
}

struct tls_ctx *tls_ctx_hold(struct tls_ctx *ctx)
{
    ctx->holds++;
    return ctx;
}

void tls_ctx_free(struct tls_ctx **ctx)
{
    struct tls_ctx *c = *ctx;

    *ctx = NULL;
    if (c == NULL || --c->holds > 0)
        return;
    SSL_CTX_free(c->ssl);
    tls_pem_free(&c->pem);
    tls_cert_free(&c->cert);
    for (size_t i = 0; i < c->name_count; i++) {
        mem_free(c->names[i].name);
        tls_pem_free(&c->names[i].pem);
        tls_cert_free(&c->names[i].cert);
    }
    mem_free(c->names);
    tls_ends_free(&c->ends);
    mem_free(c);
}

const struct tls_ends *tls_ctx_ends(const struct tls_ctx *ctx)
{
    return &ctx->ends;
}

SSL *tls_ctx_ssl(struct tls_ctx *ctx)
{
    SSL *ssl;

    ASSERT(ctx->ssl != NULL);
    ssl = SSL_new(ctx->ssl);
    /* Memory that ran out, as in mem.h. */
    ASSERT(ssl != NULL);
    return ssl;
}

char *tls_ctx_identity(const struct tls_ctx *ctx, SSL *ssl)
{
    return tls_client_identity(ssl, ctx->identity);
}
