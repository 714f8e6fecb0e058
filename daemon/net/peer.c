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

struct queued {
    size_t len;
    unsigned char data[];
};

struct peer {
    struct loop *loop;
    struct watch *watch;
    int fd;
    bool gone;          /* told */
    bool freed;
    bool deferred;      /* `out` will be sent at the end of this turn */
    peer_message *message;
    peer_gone *on_gone;
    void *arg;
    struct packet out;                  /* what this turn has to say */
    struct queued *queue[QUEUE_MAX];    /* a ring */
    size_t first, count;
};

int peer_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
}

/* ----------------------------------------------------------------- packets */

static size_t length_at(const unsigned char *data)
{
    return (size_t)data[0] | (size_t)data[1] << 8;
}

/* Messages of the right length and nothing else. */
static bool is_whole(const unsigned char *data, size_t len)
{
    while (len > PACKET_HEAD) {
        size_t n = length_at(data);
        if (n == 0 || n > PEER_MAX || n > len - PACKET_HEAD)
            return false;
        data += PACKET_HEAD + n;
        len -= PACKET_HEAD + n;
    }
    return len == 0;
}

bool packet_next(struct packet *p, const unsigned char **data_r, size_t *len_r)
{
    if (p->at >= p->len)
        return false;
    *len_r = length_at(p->data + p->at);
    *data_r = p->data + p->at + PACKET_HEAD;
    p->at += PACKET_HEAD + *len_r;
    return true;
}

void packet_rewind(struct packet *p)
{
    p->at = 0;
}

void packet_wipe(struct packet *p)
{
    secret_wipe(p->data, p->len);
    p->at = p->len = 0;
}

bool packet_add(struct packet *p, const void *data, size_t len)
{
    ASSERT(len > 0 && len <= PEER_MAX);
    if (sizeof p->data - p->len < PACKET_HEAD + len)
        return false;
    p->data[p->len] = (unsigned char)(len & 0xff);
    p->data[p->len + 1] = (unsigned char)(len >> 8);
    memcpy(p->data + p->len + PACKET_HEAD, data, len);
    p->len += PACKET_HEAD + len;
    return true;
}

int packets_receive(int fd, struct packet *packets, size_t count)
{
    struct mmsghdr headers[PACKETS_MAX];
    struct iovec parts[PACKETS_MAX];
    bool whole = true;

    ASSERT(count > 0 && count <= PACKETS_MAX);
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){ packets[i].data, sizeof packets[i].data };
        headers[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
        packets[i].at = packets[i].len = 0;
    }
    int n = recvmmsg(fd, headers, (unsigned)count, MSG_WAITFORONE, NULL);
    /* An end of file is an empty message, behind which there are only more of them. */
    for (int i = 0; i < n; i++) {
        packets[i].len = headers[i].msg_len;
        if (packets[i].len == 0) {
            n = i;
            break;
        }
        whole = whole && (headers[i].msg_hdr.msg_flags & MSG_TRUNC) == 0 && is_whole(packets[i].data, packets[i].len);
    }
    if (whole)
        return n;
    for (int i = 0; i < n; i++)
        packet_wipe(&packets[i]);
    return 0;
}

static bool send_blocking(int fd, const void *data, size_t len)
{
    ssize_t n;

    do
        n = send(fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0;
}

bool packet_send(int fd, struct packet *p)
{
    bool sent = p->len == 0 || send_blocking(fd, p->data, p->len);

    packet_wipe(p);
    return sent;
}

/* ---------------------------------------------------- the asynchronous side */

static void queued_free(struct queued *q)
{
    secret_wipe(q->data, q->len);
    mem_free(q);
}

static void queue_drop_first(struct peer *peer)
{
    queued_free(peer->queue[peer->first]);
    peer->first = (peer->first + 1) % QUEUE_MAX;
    peer->count--;
}

static void send_queued(struct peer *peer)
{
    while (peer->count > 0) {
        const struct queued *q = peer->queue[peer->first];
        ssize_t n = send(peer->fd, q->data, q->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;          /* full; or gone, which the reading side will see */
        queue_drop_first(peer);
    }
    watch_set(peer->watch, peer->count > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void read_packet(struct peer *peer, int fd)
{
    static struct packet in;                /* one thread, and nobody keeps it after the callback */
    struct iovec part = { in.data, sizeof in.data };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    const unsigned char *data;
    size_t len;
    ssize_t n = recvmsg(fd, &header, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    in.at = 0;
    in.len = n > 0 ? (size_t)n : 0;
    if (n <= 0 || header.msg_flags & MSG_TRUNC || !is_whole(in.data, in.len)) {
        packet_wipe(&in);
        watch_set(peer->watch, 0);
        peer->gone = true;
        peer->on_gone(peer->arg);
        return;
    }
    while (!peer->freed && packet_next(&in, &data, &len))
        peer->message(peer->arg, data, len);
    packet_wipe(&in);
}

static void on_peer(void *arg, int fd, unsigned events)
{
    struct peer *peer = arg;

    if (events & LOOP_READ)
        read_packet(peer, fd);
    if (events & LOOP_WRITE && !peer->freed && !peer->gone)
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
    packet_wipe(&peer->out);
    while (peer->count > 0)
        queue_drop_first(peer);
    loop_defer(peer->loop, mem_free, peer);     /* on_peer() may be our caller, or send_out() is yet to be called */
}

/* What was gathered goes, or waits behind what does. Where it cannot go any more, the reading side sees why. */
static void send_gathered(struct peer *peer)
{
    struct packet *out = &peer->out;
    ssize_t n = -1;

    if (out->len == 0)
        return;
    if (peer->count == 0) {
        do
            n = send(peer->fd, out->data, out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
    }
    if (n < 0 && (peer->count > 0 || errno == EAGAIN || errno == ENOBUFS)) {
        struct queued *q = mem_alloc(sizeof *q + out->len);
        q->len = out->len;
        memcpy(q->data, out->data, out->len);
        peer->queue[(peer->first + peer->count++) % QUEUE_MAX] = q;
        watch_set(peer->watch, LOOP_READ | LOOP_WRITE);
    }
    packet_wipe(out);
}

static void send_out(void *arg)
{
    struct peer *peer = arg;

    peer->deferred = false;
    if (!peer->freed && !peer->gone)
        send_gathered(peer);
}

bool peer_send(struct peer *peer, const void *data, size_t len)
{
    /* One place is left for what was gathered. */
    if (peer->gone || peer->count >= QUEUE_MAX - 1)
        return false;
    if (!packet_add(&peer->out, data, len)) {
        send_gathered(peer);
        packet_add(&peer->out, data, len);
    }
    if (!peer->deferred)
        loop_defer(peer->loop, send_out, peer);
    peer->deferred = true;
    return true;
}
