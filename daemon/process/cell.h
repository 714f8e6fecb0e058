/*
 * cell.h - a worker and its auth helpers: forked together, and of no use
 * without each other. Where nobody logs in there are no helpers.
 */
#ifndef POSTERN_CELL_H
#define POSTERN_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config/config.h"

struct cell;
struct limits;
struct order;
struct recent;
struct sockets;

struct cell_plan {
    struct config *config;
    const struct sockets *sockets;
    struct recent *logins;
    struct limits *limits;
    int login_cache;        /* the memory that helpers share (login_cache.h), -1: none */
};

/*
 * Forks the members. serves: a set of protocols with the same user (config_together()).
 * Called with all signals blocked; the members unblock theirs when they are ready for
 * them. Always a cell: where a fork failed (logged) cell_complete() is false.
 */
struct cell *cell_new(unsigned number, unsigned serves, uint64_t now, const struct cell_plan *plan);
/* Only a cell without a member left. */
void cell_free(struct cell **cell);

/* No member has gone. */
bool cell_complete(const struct cell *cell);
bool cell_empty(const struct cell *cell);
unsigned cell_number(const struct cell *cell);
uint64_t cell_started(const struct cell *cell);

/* Its worker accepts no more, lets its sessions finish and exits; the helpers follow. */
void cell_retire(struct cell *cell);
/* The same without any time. */
void cell_close(struct cell *cell);
/* To its worker; passed (or -1) goes with it. False if it is gone or takes no orders. */
bool cell_order(const struct cell *cell, const struct order *order, int passed);
/*
 * To be called at regular times. A worker that has not been heard of in the
 * last `looks` of them hangs: SIGKILL (logged, with `ms`); the helpers follow
 * it. Helpers get it where the worker has said as often that one of them hangs,
 * or has gone as long and one is still there.
 */
void cell_look(struct cell *cell, unsigned looks, uint64_t ms);
/* SIGKILL to all that is left. */
void cell_kill(struct cell *cell);

/* This process has ended. 1 if it was a member (logged), 0 if not. */
int cell_reap(struct cell *cell, pid_t pid, int status);
/* Its worker ended because of a schema that this program does not know. */
bool cell_wrong_schema(const struct cell *cell);

/*
 * Forks one auth helper that serves `fd`, as "posternd auth NUMBER"; login_cache as in struct
 * cell_plan. Its pid, or -1 with errno.
 */
pid_t cell_fork_helper(struct config *config, const char *number, int fd, int login_cache, int parent_signal);

#endif
