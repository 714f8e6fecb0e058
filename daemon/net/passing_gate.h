/*
 * passing_gate.h - connections of passers (passing.h), until they have passed
 * their client; and the passer that stays until its client's session has ended.
 */
#ifndef POSTERN_NET_PASSING_GATE_H
#define POSTERN_NET_PASSING_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/net/passing.h"

struct loop;
struct passer;
struct passing_gate;

/* Closes who has passed nothing by then, and who comes when so many have not. */
enum { PASSING_PATIENCE_MS = 3000, PASSING_WAITING_MAX = 256 };

struct passing_calls {
    /* What keeps this process from serving such a client: static text; NULL: nothing. index is as it was given. */
    const char *(*objection)(void *arg, size_t index, const struct passing *message);
    /*
     * A client is there, and nobody else's any more: the descriptor and the passer, NULL where it
     * does not stay, belong to the called. own: the socket was made by the user who passed it.
     */
    void (*came)(void *arg, size_t index, const struct passing *message, int client, bool own, struct passer *passer);
    /* One that waited has gone without that; it was logged, and has the client. */
    void (*left)(void *arg);
    void *arg;
};

struct passing_gate *passing_gate_new(struct loop *loop, const struct passing_calls *calls);
/* Closes all that wait, and nobody is told. */
void passing_gate_free(struct passing_gate **gate);
/* fd, which was accepted, belongs to the gate from now on. allowed: may this user pass? Callbacks come from within. */
void passing_gate_enter(struct passing_gate *gate, size_t index, int fd, bool allowed);
/* How many wait. */
size_t passing_gate_waiting(const struct passing_gate *gate);

/* gone(arg), once, where the passer ends before its client's session: whoever started it ended it. NULL: no more. */
void passer_watch(struct passer *passer, void (*gone)(void *arg), void *arg);
/* The session has ended: tells it to the passer. NULL is none. */
void passer_free(struct passer **passer);

#endif
