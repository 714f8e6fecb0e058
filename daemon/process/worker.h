/*
 * worker.h - the process that has the sessions.
 */
#ifndef POSTERN_WORKER_H
#define POSTERN_WORKER_H

#include <signal.h>
#include <stddef.h>

#include "daemon/config/config.h"

struct serve_shared;
struct sockets;

/* How the master asks a worker to end. Each one is final; a later one can only be harder. */
enum {
    WORKER_RETIRE = SIGUSR1,    /* accept no more, exit when the sessions have ended by themselves */
    WORKER_DRAIN = SIGTERM,     /* the same, those that are left after drain_time are closed */
    WORKER_CLOSE = SIGUSR2,     /* the same, at once */
};

/* Exit status of a worker that met a schema it does not know. */
enum { WORKER_WRONG_SCHEMA = 3 };

/*
 * Runs until it is asked to end; returns the exit status of the process.
 * Called after privileges were dropped, with signals blocked. serves: a set of
 * protocols, those that are spoken on the sockets. auth: the
 * sockets of its helpers. orders: where they come from (orders.h), or -1.
 */
int worker_run(const struct config *config, unsigned serves, const struct sockets *sockets, const int *auth,
               size_t auth_count, const struct serve_shared *shared, int orders);

#endif
