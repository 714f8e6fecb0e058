/*
 * conn_tls.c - the TLS row under conn: handshake, records, the goodbye.
 *
 * Never waits, never changes the mode of a descriptor (see fd.c), and never
 * goes back to the clear: after any error there are no octets any more, in
 * neither direction.
 *
 * The TLS library wants a descriptor of its own; here it gets a BIO that reads
 * and writes by fd.c, on one socket or on two pipes.
 */
#include "daemon/net/conn_io.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"
#include "daemon/net/tls_ctx.h"

enum {
    RECORD = SSL3_RT_MAX_PLAIN_LENGTH,
    TURN_US = 2000,             /* for handshakes; the one that is begun is finished */
};

struct conn_tls {
    SSL *ssl;
    const struct tls_ctx *ctx;      /* NULL: we are the client */
    char *identity;     /* what the client's certificate proves, or NULL */
    const char *error;
    bool broken;        /* nothing can be read or written any more */
    bool waiting;       /* the last read used up all that had come */
    bool bye_said;
    bool begins;        /* ours is the first word of the handshake */
};

/* Of all conns: small pieces are put together here, so that a reply is one record. Nothing stays in it after a call. */
static char gathered[RECORD];

/* Of all conns: what handshakes have used up of this turn of the loop. */
static uint64_t shaking_turn, shaking_us;

/* --- the BIO --- */

static int bio_read(BIO *bio, char *data, int size)
{
    const struct conn_io *io = BIO_get_data(bio);
    ssize_t n = fd_read(&io->in, data, (size_t)size);

    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    const struct conn_io *io = BIO_get_data(bio);
    /* sendmsg() takes no const. */
    struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = (size_t)size };
    ssize_t n = fd_write(&io->out, &iov, 1);

    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)n;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (what) {
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    case BIO_CTRL_FLUSH:
        return 1;
    default:
        return 0;
    }
}

static BIO *bio_new(struct conn_io *io)
{
    static BIO_METHOD *method;
    BIO *bio;

    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern");
        ASSERT(method != NULL);
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    bio = BIO_new(method);
    ASSERT(bio != NULL);
    BIO_set_data(bio, io);
    BIO_set_init(bio, 1);
    return bio;
}

/* --- results --- */

static const char *describe(SSL *ssl, unsigned long why)
{
    if (ERR_GET_REASON(why) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
    /* What the library calls the version of a record is a letter of some command then. */
    if (ERR_GET_REASON(why) == SSL_R_WRONG_VERSION_NUMBER && !SSL_is_init_finished(ssl) &&
        SSL_get_state(ssl) == TLS_ST_BEFORE)
        return "not a TLS handshake";
    return ERR_reason_error_string(why);
}

/* Why a call did not do it: EAGAIN, the end of the input as 0, or else a failure. */
static ssize_t not_done(struct conn_tls *t, int result, unsigned *wants)
{
    unsigned long why;

    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        *wants = LOOP_READ;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        *wants = LOOP_WRITE;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        break;
    }
    /*
     * The end without a goodbye, which anybody on the way can make, is none (RFC 8446 section
     * 6.1): a lost connection.
     */
    why = ERR_peek_error();
    if (!t->broken && why != 0 &&
        !(ERR_GET_LIB(why) == ERR_LIB_SSL && ERR_GET_REASON(why) == SSL_R_UNEXPECTED_EOF_WHILE_READING))
        t->error = describe(t->ssl, why);
    t->broken = true;
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

static bool gone(const struct conn_tls *t)
{
    if (t->broken)
        errno = EPROTO;
    return t->broken;
}

bool conn_tls_may_go_on(const struct conn_io *io, uint64_t turn)
{
    if (io->tls == NULL || io->open)
        return true;
    if (shaking_turn != turn) {
        shaking_turn = turn;
        shaking_us = 0;
    }
    return shaking_us < TURN_US;
}

/* 1 when it is complete. */
static ssize_t handshake(struct conn_io *io)
{
    struct conn_tls *t = io->tls;
    uint64_t begun = clock_us();
    int result;

    t->begins = false;
    result = SSL_do_handshake(t->ssl);

    shaking_us += clock_us() - begun;
    if (result != 1) {
        ssize_t n = not_done(t, result, &io->read_wants);
        t->waiting = true;
        if (n == 0) {       /* a goodbye in the middle of it */
            t->broken = true;
            errno = EPROTO;
        }
        return -1;
    }
    io->read_wants = LOOP_READ;
    io->open = true;
    if (t->ctx != NULL)
        t->identity = tls_ctx_identity(t->ctx, t->ssl);
    return 1;
}

/* --- the row --- */

static ssize_t tls_read(struct conn_io *io, void *data, size_t size)
{
    struct conn_tls *t = io->tls;
    int result;

    if (gone(t))
        return -1;
    ERR_clear_error();
    t->waiting = false;
    if (!io->open && handshake(io) < 0)
        return -1;
    result = SSL_read(t->ssl, data, size < INT_MAX ? (int)size : INT_MAX);
    if (result > 0) {
        io->read_wants = LOOP_READ;
        return result;
    }
    t->waiting = true;
    return not_done(t, result, &io->read_wants);
}

/* The next record: one large piece as it lies there, or small ones put together. skip: of the first, what was sent. */
static size_t next_record(const struct iovec *iov, size_t count, size_t skip, const char **data_r)
{
    size_t len = 0;

    if (iov[0].iov_len - skip >= RECORD || count == 1) {
        *data_r = (const char *)iov[0].iov_base + skip;
        len = iov[0].iov_len - skip;
        return len < RECORD ? len : RECORD;
    }
    for (size_t i = 0; i < count && len < RECORD; i++) {
        size_t n = iov[i].iov_len - skip;

        if (n > RECORD - len)
            n = RECORD - len;
        memcpy(gathered + len, (const char *)iov[i].iov_base + skip, n);
        len += n;
        skip = 0;
    }
    *data_r = gathered;
    return len;
}

static ssize_t tls_write(struct conn_io *io, struct iovec *iov, size_t count)
{
    struct conn_tls *t = io->tls;
    size_t done = 0, skip = 0;

    if (gone(t))
        return -1;
    ERR_clear_error();
    while (count > 0) {
        const char *data;
        size_t len = next_record(iov, count, skip, &data);
        int result = SSL_write(t->ssl, data, (int)len);

        /* What is sent to another server may be a password; it is put together anew if it has to be sent again. */
        if (t->ctx == NULL && data == gathered)
            secret_wipe(gathered, len);
        if (result <= 0) {
            /*
             * What was begun is begun: the library holds the record, and the
             * next call has to begin with the same octets. It does: nothing
             * leaves the queue before it was written.
             */
            ssize_t n = not_done(t, result, &io->write_wants);
            if (done > 0)
                return (ssize_t)done;
            return n < 0 ? n : -1;
        }
        io->write_wants = LOOP_WRITE;
        done += (size_t)result;
        skip += (size_t)result;
        while (count > 0 && skip >= iov->iov_len) {
            skip -= iov->iov_len;
            iov++;
            count--;
        }
    }
    return (ssize_t)done;
}

static bool tls_pending(const struct conn_io *io)
{
    /* A part of a record is pending too, but for that one waits. */
    return !io->tls->broken && !io->tls->waiting && (io->tls->begins || SSL_has_pending(io->tls->ssl) == 1);
}

static bool tls_bye(struct conn_io *io)
{
    struct conn_tls *t = io->tls;
    int result;

    if (t->broken || t->bye_said || !io->open)
        return true;
    ERR_clear_error();
    result = SSL_shutdown(t->ssl);
    if (result < 0) {
        (void)not_done(t, result, &io->write_wants);
        return t->broken;
    }
    t->bye_said = true;
    return true;
}

const struct conn_row conn_tls_row = { tls_read, tls_write, tls_pending, tls_bye };

/* --- life --- */

static void start(struct conn_io *io, SSL *ssl, const struct tls_ctx *ctx)
{
    struct conn_tls *t = mem_zalloc(sizeof *t);
    BIO *bio = bio_new(io);

    t->ssl = ssl;
    t->ctx = ctx;
    t->begins = ctx == NULL;
    SSL_set_bio(t->ssl, bio, bio);
    io->tls = t;
    io->row = &conn_tls_row;
    io->open = false;
    io->read_wants = LOOP_READ;
    io->write_wants = LOOP_WRITE;
}

void conn_tls_start(struct conn_io *io, struct tls_ctx *ctx)
{
    SSL *ssl = tls_ctx_ssl(ctx);

    SSL_set_accept_state(ssl);
    start(io, ssl, ctx);
}

void conn_tls_start_to(struct conn_io *io, SSL *ssl)
{
    start(io, ssl, NULL);
}

void conn_tls_drop(SSL *ssl)
{
    SSL_free(ssl);
}

void conn_tls_free(struct conn_io *io)
{
    struct conn_tls *t = io->tls;

    if (t == NULL)
        return;
    (void)tls_bye(io);
    SSL_free(t->ssl);
    mem_free(t->identity);
    mem_free(t);
    io->tls = NULL;
}

const char *conn_tls_get_version(const struct conn_io *io)
{
    return io->tls != NULL && io->open ? SSL_get_version(io->tls->ssl) : NULL;
}

const char *conn_tls_get_cipher(const struct conn_io *io)
{
    return io->tls != NULL && io->open ? SSL_get_cipher_name(io->tls->ssl) : NULL;
}

const char *conn_tls_get_identity(const struct conn_io *io)
{
    return io->tls != NULL ? io->tls->identity : NULL;
}

const char *conn_tls_get_error(const struct conn_io *io)
{
    return io->tls != NULL ? io->tls->error : NULL;
}

/* The first Finished message of the handshake: the client's, or of a session that was resumed the server's. */
static size_t tls_unique(SSL *ssl, unsigned char *out, size_t size)
{
    size_t len = SSL_session_reused(ssl) ? SSL_get_finished(ssl, out, size) : SSL_get_peer_finished(ssl, out, size);

    return len <= size ? len : 0;
}

size_t conn_tls_binding(const struct conn_io *io, bool unique, unsigned char *out, size_t size)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    enum { EXPORTED = 32 };
    SSL *ssl;
    bool new_enough;

    if (io->tls == NULL || !io->open)
        return 0;
    ssl = io->tls->ssl;
    new_enough = SSL_version(ssl) >= TLS1_3_VERSION;
    if (!new_enough && SSL_get_extms_support(ssl) != 1)
        return 0;
    if (unique)
        return new_enough ? 0 : tls_unique(ssl, out, size);
    /* RFC 9266 section 2: an empty context, not none. */
    if (size < EXPORTED ||
        SSL_export_keying_material(ssl, out, EXPORTED, label, sizeof label - 1, (const unsigned char *)"", 0, 1) != 1) {
        ERR_clear_error();
        return 0;
    }
    return EXPORTED;
}
