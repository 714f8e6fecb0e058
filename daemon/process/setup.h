/*
 * setup.h - what a master runs by: its configuration, and what was made for it,
 * the sockets, the log and its file, the memory of cached logins. All of a new
 * one, or none of it.
 */
#ifndef POSTERN_SETUP_H
#define POSTERN_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/buf.h"
#include "daemon/config/config.h"

struct sockets;
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

struct setup {
    const struct master_start *start;
    char *file;                 /* the same from any directory */
    struct config *config;
    struct sockets *sockets;
    struct sockets *inherited;  /* of the old master, until this one serves; NULL */
    int login_cache;            /* the memory that auth helpers share (login_cache.h), -1: none */
    struct buf told;            /* of the last reload: what was wrong, a line each */
};

/* Empty. start outlives it. */
void setup_init(struct setup *setup, const struct master_start *start);
/* Closes sockets and removes their paths, unless sockets_leave() was called. */
void setup_free(struct setup *setup);

/* Reads the configuration a first time, and opens what can fail. False when all problems were told. */
bool setup_first(struct setup *setup);
/* The start is over: warns of what the log is the place for, and does what cannot fail. */
void setup_settled(struct setup *setup);
/* The same once more. False: what is there stays; what was wrong is logged, and in setup->told. */
bool setup_again(struct setup *setup);

/* Until the master is detached the operator reads standard error; afterwards, the log. */
void setup_tell(const struct master_start *start, bool is_error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The file by a path that holds in any directory; to mem_free(). */
char *setup_path(const char *file);

#endif
