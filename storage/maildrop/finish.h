/*
 * finish.h - what the end of a maildrop has to know of its lock's moves.
 */
#ifndef POSTERN_STORAGE_FINISH_H
#define POSTERN_STORAGE_FINISH_H

#include <stdbool.h>

struct drop;

/* The move of its lock has come to an end: a drop_finish() that waited for that goes on. */
void drop_moved(struct drop *drop);
/* Its turn has come in alone.c; has_lane: the lock is on the lane for that, and else there is none for it. */
void drop_end_alone(struct drop *drop, bool has_lane);

#endif
