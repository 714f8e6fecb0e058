/*
 * peer.h - messages between a worker and a helper of its cell.
 *
 * One AF_UNIX SOCK_SEQPACKET socketpair between the two: the kernel keeps the
 * borders of messages, none is longer than PEER_MAX, and a process that died
 * is an end of file. The worker's side is asynchronous, the helper's blocking.
 */
#ifndef POSTERN_NET_PEER_H
#define POSTERN_NET_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct peer;

enum { PEER_MAX = 16384 };

typedef void peer_message(void *arg, const unsigned char *data, size_t len);
typedef void peer_gone(void *arg);

/* fds[0] for the one side, fds[1] for the other, both close-on-exec. Returns 0, or -1 with errno. */
int peer_pair(int fds[2]);

/* fd belongs to the peer from now on. gone is called once; peer_free() afterwards (or in it). */
struct peer *peer_new(struct loop *loop, int fd, peer_message *message, peer_gone *gone, void *arg);
void peer_free(struct peer **peer);
/*
 * Queues where the other side is slow, up to 256 messages; false when that is full or the other
 * side is gone. What was queued is wiped after it was sent.
 */
bool peer_send(struct peer *peer, const void *data, size_t len);

/*
 * The blocking side. receive: octets of one message, 0 when the other side is gone or it was too
 * long, -1 with errno.
 */
long peer_receive_blocking(int fd, void *data, size_t size);
bool peer_send_blocking(int fd, const void *data, size_t len);

#endif
