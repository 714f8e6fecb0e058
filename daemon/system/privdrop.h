/*
 * privdrop.h - a forked process becomes what it is to be, and nothing more.
 */
#ifndef POSTERN_PRIVDROP_H
#define POSTERN_PRIVDROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/log.h"

struct process_role {
    const char *ident;      /* in its log lines: "posternd worker 1" */
    const char *name;       /* for ps and pgrep, at most 15 octets: "posternd w1" */
    const char *user;       /* whose rights it gets, if the caller is root */
    const int *keep;        /* descriptors that stay open, besides 0, 1, 2 and the log */
    size_t keep_count;
    bool batch;             /* SCHED_BATCH: woken, it does not interrupt whom the processor is at work for */
    int parent_signal;      /* what it gets when its parent dies; 0 for nothing */
    pid_t parent;           /* who forked it; looked at where parent_signal is set */
};

/*
 * In this order: name, descriptors, scheduling, user and groups (for ever), the
 * signal at its parent's death, no core file, no new rights. Signals are left ignored
 * (HUP, INT, PIPE: they are the master's business, and TERM, USR1 and USR2 of
 * the worker's) or as they were. A process that cannot become it exits; only scheduling is no
 * reason for that.
 */
void process_become(const struct process_role *role);

/* Does this process have rights to drop? */
bool privdrop_is_root(void);
/* Room for this many open descriptors, as far as we may; returns how many there are now. */
uint64_t privdrop_descriptors(uint64_t wanted);

#endif
