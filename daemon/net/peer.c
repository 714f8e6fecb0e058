/*
 * peer.c - both ends of the message socket between worker and helper. The
 * asynchronous end owns its descriptor and a bounded queue of what the other
 * side did not take yet. Must never keep a copy of a message that was sent:
 * it may have carried a password.
 */
#include "daemon/net/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/loop.h"

enum { QUEUE_MAX = 256 };

struct message {
    size_t len;
    unsigned char data[];
};

struct peer {
    struct loop *loop;
    struct watch *watch;
    int fd;
    bool gone;          /* told */
    bool freed;
    peer_message *message;
    peer_gone *on_gone;
    void *arg;
    struct message *queue[QUEUE_MAX];   /* a ring */
    size_t first, count;
};

int peer_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
}

/* One message: its octets; 0 where the other side is gone or sent too much; -1 with errno. */
static ssize_t receive(int fd, void *data, size_t size, int flags)
{
    struct iovec iov = { data, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n = recvmsg(fd, &msg, flags);
    if (n > 0 && msg.msg_flags & MSG_TRUNC) {
        secret_wipe(data, (size_t)n);
        return 0;
    }
    return n;
}

static void message_free(struct message *m)
{
    secret_wipe(m->data, m->len);
    mem_free(m);
}

static void queue_drop_first(struct peer *peer)
{
    message_free(peer->queue[peer->first]);
    peer->first = (peer->first + 1) % QUEUE_MAX;
    peer->count--;
}

static void send_queued(struct peer *peer)
{
    while (peer->count > 0) {
        const struct message *m = peer->queue[peer->first];
        ssize_t n = send(peer->fd, m->data, m->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;          /* full; or gone, which the reading side will see */
        queue_drop_first(peer);
    }
    watch_set(peer->watch, peer->count > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void on_peer(void *arg, int fd, unsigned events)
{
    struct peer *peer = arg;
    static unsigned char data[PEER_MAX];    /* one thread, and nobody keeps it after the callback */

    if (events & LOOP_READ) {
        ssize_t n = receive(fd, data, sizeof data, MSG_DONTWAIT);
        if (n > 0) {
            peer->message(peer->arg, data, (size_t)n);
            secret_wipe(data, (size_t)n);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            watch_set(peer->watch, 0);
            peer->gone = true;
            peer->on_gone(peer->arg);
            return;
        }
        if (peer->freed)
            return;
    }
    if (events & LOOP_WRITE)
        send_queued(peer);
}

struct peer *peer_new(struct loop *loop, int fd, peer_message *message, peer_gone *gone, void *arg)
{
    struct peer *peer = mem_zalloc(sizeof *peer);
    peer->loop = loop;
    peer->fd = fd;
    peer->message = message;
    peer->on_gone = gone;
    peer->arg = arg;
    peer->watch = watch_new(loop, fd, on_peer, peer);
    watch_set(peer->watch, LOOP_READ);
    return peer;
}

void peer_free(struct peer **peer_p)
{
    struct peer *peer = *peer_p;
    if (peer == NULL)
        return;
    *peer_p = NULL;
    peer->freed = true;
    watch_free(&peer->watch);
    close(peer->fd);
    while (peer->count > 0)
        queue_drop_first(peer);
    loop_defer(peer->loop, mem_free, peer);     /* on_peer() may be our caller */
}

bool peer_send(struct peer *peer, const void *data, size_t len)
{
    ASSERT(len > 0 && len <= PEER_MAX);         /* an empty message would read as an end of file */
    if (peer->gone || peer->count == QUEUE_MAX)
        return false;
    if (peer->count == 0) {
        ssize_t n;
        do
            n = send(peer->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
            return true;
        if (errno != EAGAIN && errno != ENOBUFS)
            return false;                       /* on_gone comes from the reading side */
    }
    struct message *m = mem_alloc(sizeof *m + len);
    m->len = len;
    memcpy(m->data, data, len);
    peer->queue[(peer->first + peer->count++) % QUEUE_MAX] = m;
    watch_set(peer->watch, LOOP_READ | LOOP_WRITE);
    return true;
}

long peer_receive_blocking(int fd, void *data, size_t size)
{
    return receive(fd, data, size, 0);
}

bool peer_send_blocking(int fd, const void *data, size_t len)
{
    ssize_t n;
    ASSERT(len > 0 && len <= PEER_MAX);
    do
        n = send(fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0;
}
