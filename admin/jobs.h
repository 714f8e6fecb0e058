/*
 * jobs.h - many pieces of work of one kind, by several processes at once.
 *
 * Each process takes one piece after the other, and says in messages what there is to tell.
 * One that dies, whatever the reason, takes its piece with it and no other: a new process
 * goes on with the rest. The caller holds no connection that a child could disturb. A process
 * whose parent was killed gets SIGTERM, and ends behind its piece at the latest.
 */
#ifndef POSTERN_ADMIN_JOBS_H
#define POSTERN_ADMIN_JOBS_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

enum {
    JOBS_MAX = 256,             /* processes */
    JOBS_MESSAGE_MAX = 16384,   /* octets of one message */
};

/* How a process speaks to its parent. */
struct jobs_voice;
/* Waits until there is room. What is longer than JOBS_MESSAGE_MAX is an error of ours. */
void jobs_say(const struct jobs_voice *voice, const void *message, size_t len);

struct jobs {
    unsigned processes;
    size_t count;                               /* pieces of work, by number from 0, begun in this order */
    /* In a process of its own. */
    void (*work)(void *arg, size_t piece, const struct jobs_voice *voice);
    void (*end)(void *arg);                     /* behind its last piece; it may have had none */
    /* In the caller's process. */
    bool (*wanted)(void *arg, size_t piece);    /* before it is begun; false: it is not */
    void (*said)(void *arg, size_t piece, struct span message);
    void (*done)(void *arg, size_t piece);      /* all that it said was told */
    void (*died)(void *arg, size_t piece, const char *how);     /* in place of done() */
    void (*wait)(void *arg);                    /* several times a second */
    void *arg;
};

/*
 * Returns when no piece is under way, and all were begun or `wanted` was false for the rest. False after
 * a message: no process could be started; those that were begun are done.
 */
bool jobs_run(const struct jobs *jobs);
/* To those that run now; by SIGKILL their pieces die. For use within the functions above. */
void jobs_signal(int signal);

#endif
