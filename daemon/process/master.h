/*
 * master.h - the process that binds, forks, supervises and reloads.
 */
#ifndef POSTERN_MASTER_H
#define POSTERN_MASTER_H

#include <stdbool.h>
#include <stddef.h>

struct handover;

struct master_start {
    const char *program;        /* the path of this program, for an upgrade */
    const char *file;           /* the configuration */
    bool foreground;
    const int *adopted;         /* listening sockets that somebody else made, if any: then always in the foreground */
    size_t adopted_count;
    const char *adopted_names;  /* of each, with colons in between; NULL: they have none */
    int ready_fd;               /* gets a newline when all listens; below zero: nobody waits for it */
    const struct handover *handover;    /* from the master whose place this one takes; NULL */
    bool no_stderr;             /* standard error is not ours to write to */
};

/* Runs until SIGTERM or SIGINT; returns the exit status of the process. */
int master_run(const struct master_start *start);

/* The file by a path that holds in any directory; to mem_free(). */
char *master_path(const char *file);

#endif
