/*
 * passer.c - the passer's end of passing.h.
 *
 * It must never read from the client before it knows that the client was taken,
 * and never have a doubt about that: it asks the kernel, not a clock. When it
 * gives up it shuts its side for reading; from then on the worker's answer
 * fails, and one that was sent before can still be read.
 */
#include "daemon/net/passing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/unix_socket.h"

enum { PATIENCE_MS = 3000, PIECE = 16384 };

/* A stream socket by which a client can have come; with *network_r: over a network, so that nobody waits for us. */
static bool is_client_socket(int fd, bool *network_r)
{
    int domain = -1, type = -1;
    socklen_t len = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
        return false;
    len = sizeof type;
    *network_r = domain == AF_INET || domain == AF_INET6;
    return (*network_r || domain == AF_UNIX) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_STREAM;
}

static bool is_same(int a, int b)
{
    struct stat x, y;

    return a == b || (fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static bool send_message(int to, const struct passing *message, int client)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { .space = { 0 } };
    struct iovec iov = { (void *)(uintptr_t)message, sizeof *message };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof client);
    memcpy(CMSG_DATA(c), &client, sizeof client);
    return sendmsg(to, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof *message;
}

/* Waits for an answer, for as long as anybody may wait for a greeting that does not come. */
static bool was_taken(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char answer = 0;

    while (poll(&p, 1, PATIENCE_MS) < 0 && errno == EINTR)
        continue;
    (void)shutdown(fd, SHUT_RD);
    return recv(fd, &answer, 1, MSG_DONTWAIT) == 1 && answer == PASSING_TAKEN;
}

/* Until the other end has closed. */
static void await_end(int fd)
{
    struct pollfd p = { .fd = fd };

    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        continue;
}

/* Returns the connection, or -1. It does not wait for room in the backlog. */
static int pass(const char *path, const char *protocol, unsigned flags, int client)
{
    struct passing message = { .magic = PASSING_MAGIC, .flags = flags };
    int fd = unix_socket_connect(path, SOCK_STREAM | SOCK_NONBLOCK);

    if (fd < 0)
        return -1;
    strncpy(message.protocol, protocol, sizeof message.protocol - 1);
    if (send_message(fd, &message, client) && was_taken(fd))
        return fd;
    close(fd);
    return -1;
}

/* --- in between --- */

/* Octets on their way from one descriptor to the other. */
struct way {
    int from, to;
    bool over;                  /* nothing more comes */
    size_t at, len;
    char data[PIECE];
};

/* False: who should have got it has gone. Writes no more at once than a pipe that has room takes without waiting. */
static bool move(struct way *w, short readable, short writable)
{
    ssize_t n;

    if (w->at < w->len && writable) {
        n = write(w->to, w->data + w->at, w->len - w->at < PIPE_BUF ? w->len - w->at : PIPE_BUF);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        w->at += (size_t)n;
    } else if (w->at == w->len && readable) {
        n = read(w->from, w->data, sizeof w->data);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        w->over = n <= 0;
        w->at = 0;
        w->len = n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void watch_way(const struct way *w, struct pollfd fds[2])
{
    bool full = w->at < w->len;

    fds[0] = (struct pollfd){ .fd = full || w->over ? -1 : w->from, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = full ? w->to : -1, .events = POLLOUT };
}

/* The session ends by closing its side; a client that sends no more may still read. */
static void relay(int in, int out, int session)
{
    static struct way up, down;
    bool told = false;

    up = (struct way){ .from = in, .to = session };
    down = (struct way){ .from = session, .to = out };
    signal(SIGPIPE, SIG_IGN);
    while (!down.over) {
        struct pollfd fds[4];

        watch_way(&up, fds);
        watch_way(&down, fds + 2);
        if (poll(fds, 4, -1) < 0 && errno != EINTR)
            break;
        if (!move(&down, fds[2].revents, fds[3].revents))
            break;
        if (!move(&up, fds[0].revents, fds[1].revents)) {
            up.over = told = true;      /* it has ended: what it said last is still to be read */
            up.at = up.len = 0;
        }
        if (up.over && !told)
            told = shutdown(session, SHUT_WR) == 0;
    }
    explicit_bzero(&up, sizeof up);
    explicit_bzero(&down, sizeof down);
}

static bool pass_and_relay(const char *path, const char *protocol, unsigned flags, int in, int out)
{
    int pair[2], fd;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    fd = pass(path, protocol, flags | PASSING_STAY, pair[1]);
    close(pair[1]);
    if (fd >= 0)
        relay(in, out, pair[0]);
    close(pair[0]);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

bool passing_client(const char *path, const char *protocol, unsigned flags, int in, int out)
{
    bool network;
    int fd;

    if (!is_client_socket(in, &network) || !is_same(in, out))
        return pass_and_relay(path, protocol, flags, in, out);
    /* sshd ends the connection where its command ends. */
    if (!network)
        flags |= PASSING_STAY;
    fd = pass(path, protocol, flags, in);
    if (fd < 0)
        return false;
    if (flags & PASSING_STAY) {
        /* Else it would not be closed when the session closes it. */
        for (int i = 0; i <= 2; i++)
            close(i);
        close(in);
        close(out);
        await_end(fd);
    }
    close(fd);
    return true;
}
