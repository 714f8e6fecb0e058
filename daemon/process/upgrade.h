/*
 * upgrade.h - both sides of an upgrade: the old master, which starts the program
 * anew and learns what became of it, and the new one, which tells it. What the
 * two give up and take over is the business of master.c. Times are monotonic
 * ms, UINT64_MAX is never.
 */
#ifndef POSTERN_UPGRADE_H
#define POSTERN_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/process/handover.h"

struct upgrade;

struct upgrade *upgrade_new(void);
void upgrade_free(struct upgrade **upgrade);

/* ---- the old master */

/* What became of the new one since it was asked last. */
enum upgrade_news {
    UPGRADE_NOTHING,
    UPGRADE_SERVES,             /* it has the sockets; the service manager and the operator were told */
    UPGRADE_FAILED,             /* it has ended, which was logged and told to the operator */
};

struct upgrade_program {
    const char *path;           /* of the program */
    const char *file;           /* the configuration, by a path that holds in any directory */
    bool foreground;
};

/*
 * Starts the program anew; what it is handed (all but `errors`) is needed during the call only. operator (or -1) is
 * answered when it is known what became of it, or why it was not started.
 */
void upgrade_start(struct upgrade *upgrade, const struct upgrade_program *program, const struct handover *give,
                   int operator, uint64_t now);
/* What to poll for input, -1: nothing; and when to call upgrade_look() although there is none. */
int upgrade_fd(const struct upgrade *upgrade);
uint64_t upgrade_deadline(const struct upgrade *upgrade);
enum upgrade_news upgrade_look(struct upgrade *upgrade, uint64_t now);
/* This process has ended: was it the new master? Then *news_r is set. */
bool upgrade_reap(struct upgrade *upgrade, pid_t pid, int status, uint64_t now, enum upgrade_news *news_r);

/* ---- the new master */

/* All that can fail has been done: complaints go where they belong from now on. handover may be NULL: nobody's place is
 * taken. */
void upgrade_settled(struct upgrade *upgrade, const struct handover *handover, uint64_t now);
/* An old master waits to hear that this one serves. */
bool upgrade_is_awaited(const struct upgrade *upgrade);
/* It was to be told by now in any case. */
bool upgrade_is_late(const struct upgrade *upgrade, uint64_t now);
/* It may go. */
void upgrade_done(struct upgrade *upgrade);

#endif
