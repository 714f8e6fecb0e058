/*
 * orders.h - what the master tells a worker, one way, over a socketpair of its own.
 *
 * Both ends are one program, so an order is a struct. The worker never answers
 * the master: where an operator waits, it gets their connection with the order.
 */
#ifndef POSTERN_ORDERS_H
#define POSTERN_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/traced.h"

enum order_what { ORDER_KICK = 1, ORDER_TRACE };

struct order {
    enum order_what what;
    char subject[TRACED_SUBJECT_SIZE];
    uint64_t until;             /* ORDER_TRACE: monotonic ms; 0 ends it */
};

/* A pair: the master's end, then the worker's; both close-on-exec. 0, or -1 with errno. */
int orders_pair(int fds[2]);
/* passed: a descriptor that goes with it, or -1. False where the worker is gone or takes nothing. Never waits. */
bool orders_send(int fd, const struct order *order, int passed);
/* 1 and an order (*passed_r is the callee's, or -1); 0 where there is none now; -1 when the master's end is gone. */
int orders_receive(int fd, struct order *order_r, int *passed_r);

#endif
