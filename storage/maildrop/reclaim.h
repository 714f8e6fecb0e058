/*
 * reclaim.h - removing what a large deletion left behind, off the path of its QUIT.
 */
#ifndef POSTERN_STORAGE_RECLAIM_H
#define POSTERN_STORAGE_RECLAIM_H

#include <stdbool.h>

struct store;
struct timer;

/* For reclaim.c, and tests. */
struct reclaim {
    struct store *store;
    struct timer *timer;
    bool busy;                      /* a batch is asked for, or the next one is due */
};

struct reclaim *reclaim_new(struct store *store);
void reclaim_free(struct reclaim **reclaim);
/* A deletion left work behind. */
void reclaim_start(struct reclaim *reclaim);
void reclaim_next(void *reclaim);               /* timer */

#endif
