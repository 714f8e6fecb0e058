/*
 * finish.h - what the end of a maildrop has to know of its lock's moves.
 */
#ifndef POSTERN_STORAGE_FINISH_H
#define POSTERN_STORAGE_FINISH_H

struct drop;

/* The move of its lock has come to an end: a drop_finish() that waited for that goes on. */
void drop_moved(struct drop *drop);

#endif
