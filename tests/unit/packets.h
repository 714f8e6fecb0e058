/*
 * packets.h - one message at a time of what lies in a socket of peer.h, for
 * tests that play one end of it.
 */
#ifndef TESTS_PACKETS_H
#define TESTS_PACKETS_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/net/peer.h"

/* The next message, copied into data; 0 at the end of the file, -1 with errno. `in` keeps what came with it. */
static inline long next_message(int fd, struct packet *in, unsigned char *data, size_t size)
{
    const unsigned char *at;
    size_t len;

    while (!packet_next(in, &at, &len)) {
        int n = packets_receive(fd, in, 1);
        if (n <= 0)
            return n;
    }
    if (len > size)
        return 0;
    memcpy(data, at, len);
    return (long)len;
}

static inline bool has_message(int fd, const struct packet *in)
{
    char c;
    return in->at < in->len || recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* In a packet of its own. */
static inline bool send_message(int fd, const void *data, size_t len)
{
    static struct packet out;
    return packet_add(&out, data, len) && packet_send(fd, &out);
}

#endif
