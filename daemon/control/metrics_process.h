/*
 * metrics_process.h - the master's side of metrics_http.h: keeps the process
 * running that shows the metrics. Times are monotonic ms, UINT64_MAX is never.
 */
#ifndef POSTERN_METRICS_PROCESS_H
#define POSTERN_METRICS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config/config.h"

struct metrics_process;

/* None runs yet. */
struct metrics_process *metrics_process_new(void);
void metrics_process_free(struct metrics_process **process);

/* Starts what is due, or ends what is not wanted any more, by the configuration of now. */
void metrics_process_keep(struct metrics_process *process, struct config *config, uint64_t now);
/* When to call that although nothing happened. */
uint64_t metrics_process_deadline(const struct metrics_process *process);
/* What it was forked with is old (metrics_set_more()): another one takes its place. */
void metrics_process_renew(struct metrics_process *process, uint64_t now);
/* Ends it, and listens no more. */
void metrics_process_stop(struct metrics_process *process);
/* This process has ended: was it this one? */
bool metrics_process_reap(struct metrics_process *process, pid_t pid, uint64_t now);

#endif
