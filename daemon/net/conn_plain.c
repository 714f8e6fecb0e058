/*
 * conn_plain.c - the row under conn without TLS: octets as they are. Keeps
 * nothing.
 */
#include "daemon/net/conn_io.h"

static ssize_t plain_read(struct conn_io *io, void *data, size_t size)
{
    return fd_read(&io->in, data, size);
}

static ssize_t plain_write(struct conn_io *io, struct iovec *iov, size_t count)
{
    return fd_write(&io->out, iov, count);
}

static bool plain_pending(const struct conn_io *io)
{
    return io->in.kind == FD_FILE;      /* always ready, and nothing tells of it */
}

static bool plain_bye(struct conn_io *io)
{
    (void)io;
    return true;
}

const struct conn_row conn_plain_row = { plain_read, plain_write, plain_pending, plain_bye };
