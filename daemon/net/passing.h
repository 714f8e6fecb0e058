/*
 * passing.h - how a program that was started for one client gives it to a
 * posternd that is running: one message with one descriptor, and one answer.
 *
 * The passer connects to a listener's unix socket that has `passed`, and sends
 * struct passing with the client's socket (SCM_RIGHTS). A worker answers with an
 * octet, PASSING_TAKEN, and from then on the client is its alone; anything else,
 * or nothing, and the client is still the passer's alone. Neither reads or
 * writes an octet of the client's before. Where PASSING_STAY is set the worker
 * keeps the connection open until the session has ended, and ends the session
 * where the passer closes it.
 *
 * The C library is all that this needs: postern-inetd has nothing else.
 */
#ifndef POSTERN_NET_PASSING_H
#define POSTERN_NET_PASSING_H

#include <stdbool.h>
#include <stdint.h>

enum { PASSING_TLS = 1, PASSING_STAY = 2, PASSING_FLAGS = PASSING_TLS | PASSING_STAY };
enum { PASSING_TAKEN = 'T', PASSING_REFUSED = 'R' };
enum { PASSING_PROTOCOL_SIZE = 16 };

/* Both ends are on one host; not of one version: a passer may be newer, or older, than what runs. */
struct passing {
    char magic[8];              /* PASSING_MAGIC and NULs; another one where anything of this changes */
    char protocol[PASSING_PROTOCOL_SIZE];   /* its name (protocols.def), then NULs */
    uint32_t flags;
};
#define PASSING_MAGIC "postern1"

/* A whole message of this form. The name of the protocol ends within its field; whether it is one is the caller's. */
bool passing_is_whole(const struct passing *message, long size);

/*
 * The worker's end. 1: *message_r, *client_r, which is the callee's; 0: nothing
 * has come yet; -1: it is not this, static text in *wrong_r, and every
 * descriptor that came was closed. The client is a connected stream socket of
 * the Internet or of this host.
 */
int passing_receive(int fd, struct passing *message_r, int *client_r, const char **wrong_r);
/* False: the passer is gone, or has given up, and has the client. */
bool passing_answer(int fd, char answer);

/*
 * The passer's end. in and out are the client's: one socket, or else all octets
 * go both ways through this process until the session has ended. True: it was
 * taken; where `stay` is set or this process is in between it has ended when
 * this returns, else the caller should leave. Whatever they are, in and out are
 * closed, or of use to nobody then. False: nothing of the client's was read,
 * the caller has to serve it. Never waits for longer than a few seconds before.
 */
bool passing_client(const char *path, const char *protocol, unsigned flags, int in, int out);

#endif
