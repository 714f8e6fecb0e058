/*
 * dial.h - a TCP connection that we make, to the first of some addresses that takes it.
 */
#ifndef POSTERN_NET_DIAL_H
#define POSTERN_NET_DIAL_H

#include <stdint.h>

struct dial;
struct loop;

/* fd: connected, and the caller's from now on; or -1, with the reason in why (lent), when no address took it. */
typedef void dial_done(void *arg, int fd, const char *why);

/*
 * addresses: numeric, with commas in between; they are tried one after the other, and each has its
 * share of ms. done comes once, never from within, and ends the dial: the caller frees it then.
 */
struct dial *dial_new(struct loop *loop, const char *addresses, uint16_t port, uint64_t ms, dial_done *done, void *arg);
/* Gives it up, if it has not ended. The pointer may be NULL. */
void dial_free(struct dial **dial);

#endif
