/*
 * master.h - the process that binds, forks, supervises and reloads.
 */
#ifndef POSTERN_MASTER_H
#define POSTERN_MASTER_H

#include "daemon/process/setup.h"

/* Runs until SIGTERM or SIGINT; returns the exit status of the process. */
int master_run(const struct master_start *start);

#endif
