/*
 * fd.h - a descriptor that was passed to us: a socket, a pipe, a terminal
 * or a regular file, read and written without ever waiting.
 */
#ifndef POSTERN_NET_FD_H
#define POSTERN_NET_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

enum fd_kind {
    FD_SOCKET,
    FD_STREAM,      /* a pipe or a terminal */
    FD_FILE,        /* always ready; epoll will not have it: a regular file, /dev/null */
};

struct fd {
    int fd;
    enum fd_kind kind;
    bool put_back;  /* O_NONBLOCK was set by us */
    bool ends;      /* what is written from now on goes out with the end of the stream, which follows at once */
};

/*
 * Of a TCP socket, or of a listening one for all that it accepts: sets
 * TCP_NODELAY, and how much of what cannot be sent yet the kernel takes. Nothing
 * happens to other sockets; false where it is none at all.
 */
bool fd_prompt(int fd);

/* Owns fd from now on, and asks for fd_prompt(). */
struct fd fd_take(int fd);
/* Puts O_NONBLOCK back as it was, as others may share the descriptor, and closes. */
void fd_close(struct fd *fd);

/*
 * Of a TCP socket, or of a listening one for all that it accepts: a client that
 * vanished without notice is detected. After idle_ms of silence it is probed; it
 * is gone when it answered nothing for unacked_ms, or took none of the octets
 * that were sent to it for so long. Where unacked_ms is 0, half of idle_ms
 * without an answer to a probe is enough. idle_ms 0: no probes. Nothing happens
 * to other descriptors.
 */
void fd_notice_loss(int fd, uint64_t idle_ms, uint64_t unacked_ms);

/*
 * Milliseconds since the other end of a TCP connection took octets from our
 * kernel, which may hold a few megabytes of them that we believe to be written.
 * UINT64_MAX where that cannot be known.
 */
uint64_t fd_untaken(const struct fd *fd);

/*
 * Has our kernel reason to think that nobody is at the other end of this TCP
 * connection any more, before it gives it up (fd_notice_loss())? So it is where
 * octets, or two questions whether somebody is there, were sent again and again
 * and nothing was acknowledged since. False where that cannot be known.
 */
bool fd_vanished(const struct fd *fd);
/*
 * Has the kernel ask the other end of a TCP connection now whether it is there,
 * and a few seconds later once more: then fd_vanished() knows. No program at
 * either end sees it. Nothing happens where fd_notice_loss() set no probes.
 */
void fd_probe(const struct fd *fd);

/* As read() and writev(): EAGAIN instead of waiting, no SIGPIPE. */
ssize_t fd_read(const struct fd *fd, void *data, size_t size);
ssize_t fd_write(const struct fd *fd, struct iovec *iov, size_t count);

/*
 * "192.0.2.1:4242", "[2001:db8::1]:4242", "unix", or "stdin" and "stdout";
 * "unknown" for a socket whose other end has gone. The caller frees it.
 * *local_r: it is on this host: loopback, a unix socket, or no socket at all.
 */
char *fd_peer_name(const struct fd *fd, bool *local_r);
/* The name is that of an end that has gone: nobody is to be served, or refused. */
bool fd_peer_has_gone(const char *name);
char *fd_local_name(const struct fd *fd);

#endif
