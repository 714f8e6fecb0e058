/*
 * peer.h - messages between a worker and a helper of its cell.
 *
 * One AF_UNIX SOCK_SEQPACKET socketpair between the two: the kernel keeps the
 * borders of packets, and a process that died is an end of file. A packet holds
 * messages, each behind its length, so that what one side has to say at one
 * time costs one system call and wakes the other side once. The worker's side is
 * asynchronous, the helper's blocking.
 */
#ifndef POSTERN_NET_PEER_H
#define POSTERN_NET_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct peer;

enum {
    PEER_MAX = 16384,           /* octets of a message, which is not empty */
    PACKET_MAX = 32768,
    PACKET_HEAD = 2,            /* before each message: its length */
    PACKETS_MAX = 4,            /* that packets_receive() takes at once */
};

typedef void peer_message(void *arg, const unsigned char *data, size_t len);
typedef void peer_gone(void *arg);

/* fds[0] for the one side, fds[1] for the other, both close-on-exec. Returns 0, or -1 with errno. */
int peer_pair(int fds[2]);

/* fd belongs to the peer from now on. gone is called once; peer_free() afterwards (or in it). */
struct peer *peer_new(struct loop *loop, int fd, peer_message *message, peer_gone *gone, void *arg);
void peer_free(struct peer **peer);
/*
 * Sent at the end of this turn of the loop, together with what else was. Queues where the other side
 * is slow, up to 256 packets; false when that is full or the other side is gone. What was queued is wiped
 * after it was sent.
 */
bool peer_send(struct peer *peer, const void *data, size_t len);

/* The blocking side. */
struct packet {
    size_t at, len;
    unsigned char data[PACKET_MAX];
};

/*
 * Waits for a packet, and takes what else is there, up to count: how many. Each is whole: it holds
 * messages of the right length and nothing else. 0 when the other side is gone or sent what is
 * none; -1 with errno. The caller wipes them.
 */
int packets_receive(int fd, struct packet *packets, size_t count);
/* The next message in it, which lies there; false at its end. */
bool packet_next(struct packet *packet, const unsigned char **data_r, size_t *len_r);
/* From the beginning once more. */
void packet_rewind(struct packet *packet);
void packet_wipe(struct packet *packet);

/* Of one that is filled; all zero is an empty one. False where there is no room for this message. */
bool packet_add(struct packet *packet, const void *data, size_t len);
/* Blocks; then it is empty, and wiped. An empty one is not sent. False: the other side is gone. */
bool packet_send(int fd, struct packet *packet);

#endif
