/*
 * conn_io.h - how octets of a client go through its descriptors: as they are,
 * or by TLS. One table with two rows; for conn.c and the two of them only.
 */
#ifndef POSTERN_NET_CONN_IO_H
#define POSTERN_NET_CONN_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "daemon/net/fd.h"

struct conn_io;
struct conn_tls;
struct tls_ctx;

struct conn_row {
    /* As read() and writev(), EAGAIN instead of waiting: read_wants and write_wants say then what has to come first. */
    ssize_t (*read)(struct conn_io *io, void *data, size_t size);
    ssize_t (*write)(struct conn_io *io, struct iovec *iov, size_t count);
    /* Octets have come that no event of the descriptor will tell of. */
    bool (*pending)(const struct conn_io *io);
    /* Says to the client that no more comes. False: it does not take that yet, so once more when write_wants comes. */
    bool (*bye)(struct conn_io *io);
};

struct conn_io {
    struct fd in, out;
    bool same;                          /* in and out are one descriptor */
    bool open;                          /* output may go; not before the end of a handshake */
    unsigned read_wants, write_wants;   /* LOOP_READ or LOOP_WRITE */
    const struct conn_row *row;
    struct conn_tls *tls;               /* NULL: none */
};

extern const struct conn_row conn_plain_row, conn_tls_row;

/* From the next octet on, in both directions. */
void conn_tls_start(struct conn_io *io, struct tls_ctx *ctx);
/* The same as the client of that connection; takes ssl (tls_out.h). */
void conn_tls_start_to(struct conn_io *io, SSL *ssl);
/* One that was not taken. */
void conn_tls_drop(SSL *ssl);
/*
 * May this one be read in this turn of the loop? Handshakes may use up a few
 * milliseconds of each: however many come at once, those who have theirs behind
 * them have their turns. The descriptor is still readable in the next one.
 */
bool conn_tls_may_go_on(const struct conn_io *io, uint64_t turn);
/* Says goodbye where that is possible at once. */
void conn_tls_free(struct conn_io *io);
/* NULL before the end of the handshake; static text. */
const char *conn_tls_get_version(const struct conn_io *io);
const char *conn_tls_get_cipher(const struct conn_io *io);
/* As conn_client_identity(); owned by the io. */
const char *conn_tls_get_identity(const struct conn_io *io);
/* As conn_channel_binding(): tls-unique, else tls-exporter. */
size_t conn_tls_binding(const struct conn_io *io, bool unique, unsigned char *out, size_t size);
/* What was wrong with what the client sent; NULL where nothing was. Static text. */
const char *conn_tls_get_error(const struct conn_io *io);

#endif
