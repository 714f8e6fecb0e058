/*
 * cells.h - which cells there are: those there should be, and old ones, which
 * end by themselves. Times are monotonic ms, UINT64_MAX is never.
 */
#ifndef POSTERN_CELLS_H
#define POSTERN_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/process/cell.h"

struct cells;

/* None yet. */
struct cells *cells_new(void);
/* The processes are left alone. */
void cells_free(struct cells **cells);

/* How many the configuration wants for this set of protocols; those with users of their own have as many each. */
unsigned cells_wanted(const struct config *config, unsigned spoken);
/*
 * As many as the plan's configuration wants for what is spoken on its sockets, started now; then
 * those of before are put aside, so that somebody accepts all the time. What the plan points to
 * stays until the next one, or cells_retire().
 */
void cells_renew(struct cells *cells, const struct cell_plan *plan, uint64_t now);
/* Starts what is due. */
void cells_start(struct cells *cells, uint64_t now);
/* Looks for workers that hang, when it is time to. */
void cells_look(struct cells *cells, uint64_t now);
/* When to call these two although nothing happened. */
uint64_t cells_deadline(const struct cells *cells);

/* This process has ended; it may be a stranger's. */
void cells_reap(struct cells *cells, pid_t pid, int status, uint64_t now);
/* Forgets old cells without a process. */
void cells_sweep(struct cells *cells);

/* All are old ones from now on: they accept no more, and what has sessions finishes them. */
void cells_retire(struct cells *cells);
void cells_tell_old(struct cells *cells, void (*tell)(struct cell *cell));
void cells_each(struct cells *cells, void (*each)(struct cell *cell, void *arg), void *arg);

/*
 * How many there should be; of these, those that serve a protocol with one of these NEEDS_; whether
 * one of them runs; how many old ones there are.
 */
unsigned cells_count(const struct cells *cells);
unsigned cells_count_with(const struct cells *cells, unsigned needs);
bool cells_accepting(const struct cells *cells);
size_t cells_old(const struct cells *cells);

#endif
