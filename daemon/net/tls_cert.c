/*
 * tls_cert.c - reads certificates and keys, checks that they belong together.
 *
 * Never leaves a copy of a key behind: what was read is overwritten. Never asks
 * anybody for a passphrase.
 */
#include "daemon/net/tls_cert.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { FILE_MAX = 1048576 };

struct reader {
    tls_problem *problem;
    void *arg;
};

__attribute__((format(printf, 2, 3)))
static bool tell(const struct reader *r, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->problem(r->arg, text);
    ERR_clear_error();
    return false;
}

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    return text != NULL ? text : "not a PEM file";
}

static bool read_file(const struct reader *r, const char *file, struct buf *text, struct stat *st)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = 0;

    if (fd < 0)
        return tell(r, "could not open %s: %s", file, strerror(errno));
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size > FILE_MAX) {
        close(fd);
        return tell(r, "%s is not a file of at most 1 MiB", file);
    }
    /*
     * All of the room at once, as a buffer that grows is copied and wiped; and no more: a session
     * of inetd pays for what is wiped.
     */
    const size_t size = (size_t)st->st_size;
    buf_reserve(text, size + 1);
    while (buf_left(text) <= size && (n = read(fd, buf_reserve(text, 1), size + 1 - buf_left(text))) > 0)
        buf_commit(text, (size_t)n);
    close(fd);
    return n == 0 ? true : tell(r, "could not read %s: %s", file, n < 0 ? strerror(errno) : "it keeps changing");
}

/* ---- what OpenSSL leaves behind */

/*
 * It decodes a key by way of buffers that it frees as they are, and whoever is
 * forked later would have them: so what it frees meanwhile is wiped.
 */
static bool wiping;

static void *ours_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(size);
}

static void ours_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    if (wiping && p != NULL)
        secret_wipe(p, malloc_usable_size(p));
    free(p);
}

static void *ours_realloc(void *p, size_t size, const char *file, int line)
{
    if (!wiping || p == NULL || size == 0)
        return realloc(p, size);
    void *larger = malloc(size);
    if (larger == NULL)
        return NULL;
    size_t before = malloc_usable_size(p);
    memcpy(larger, p, before < size ? before : size);
    ours_free(p, file, line);
    return larger;
}

bool tls_cert_wipe_keys(void)
{
    return CRYPTO_set_mem_functions(ours_malloc, ours_realloc, ours_free) == 1;
}

static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *bio_of(const struct buf *text)
{
    struct span all = buf_span(text);

    return BIO_new_mem_buf(all.at, (int)all.len);
}

static bool read_chain(const struct reader *r, struct tls_cert *cert, const struct buf *text, const char *file)
{
    BIO *bio = bio_of(text);
    X509 *next;

    cert->own = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    cert->chain = sk_X509_new_null();
    while (cert->own != NULL && (next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
        sk_X509_push(cert->chain, next);
    BIO_free(bio);
    if (cert->own == NULL)
        return tell(r, "no certificate in %s: %s", file, reason());
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return tell(r, "the chain in %s is broken: %s", file, reason());
    ERR_clear_error();
    return true;
}

static bool read_key(const struct reader *r, struct tls_cert *cert, const struct tls_pem *pem)
{
    const struct buf *text = pem->key_file != pem->cert_file ? &pem->key : &pem->cert;
    BIO *bio = bio_of(text);

    wiping = true;
    cert->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    wiping = false;
    if (cert->key == NULL && text->data != NULL && memmem(text->data, text->len, "ENCRYPTED", 9) != NULL)
        return tell(r, "the key in %s has a passphrase: store it without one", pem->key_file);
    if (cert->key == NULL)
        return tell(r, "no private key in %s: %s", pem->key_file, reason());
    if (pem->exposed)
        log_warning(NULL, "the private key in %s is readable by everybody: chmod 600", pem->key_file);
    return true;
}

static bool check_pair(const struct reader *r, const struct tls_cert *cert, const struct tls_pem *pem)
{
    if (X509_check_private_key(cert->own, cert->key) != 1)
        return tell(r, "the key in %s does not match the certificate in %s", pem->key_file, pem->cert_file);
    return true;
}

bool tls_pem_read(struct tls_pem *pem, const char *cert_file, const char *key_file, tls_problem *problem, void *arg)
{
    const struct reader r = { problem, arg };
    struct stat st = { 0 };
    bool good;

    *pem = (struct tls_pem){ .cert_file = mem_str(cert_file) };
    pem->key_file = key_file[0] != '\0' ? mem_str(key_file) : pem->cert_file;
    good = read_file(&r, cert_file, &pem->cert, &st) &&
           (key_file[0] == '\0' || read_file(&r, key_file, &pem->key, &st));
    pem->exposed = st.st_mode & S_IROTH;
    if (!good)
        tls_pem_free(pem);
    return good;
}

void tls_pem_free(struct tls_pem *pem)
{
    buf_wipe(&pem->cert);
    buf_wipe(&pem->key);
    if (pem->key_file != pem->cert_file)
        mem_free(pem->key_file);
    mem_free(pem->cert_file);
    *pem = (struct tls_pem){ .cert_file = NULL };
}

bool tls_cert_make(struct tls_cert *cert, const struct tls_pem *pem, tls_problem *problem, void *arg)
{
    const struct reader r = { problem, arg };
    bool good;

    *cert = (struct tls_cert){ NULL, NULL, NULL };
    ERR_clear_error();
    good = read_chain(&r, cert, &pem->cert, pem->cert_file) && read_key(&r, cert, pem) && check_pair(&r, cert, pem);
    if (!good)
        tls_cert_free(cert);
    return good;
}

void tls_cert_free(struct tls_cert *cert)
{
    X509_free(cert->own);
    sk_X509_pop_free(cert->chain, X509_free);
    EVP_PKEY_free(cert->key);
    *cert = (struct tls_cert){ NULL, NULL, NULL };
}
