/*
 * question_ring.h - the questions of a lane that are under way, oldest first.
 */
#ifndef POSTERN_STORAGE_QUESTION_RING_H
#define POSTERN_STORAGE_QUESTION_RING_H

#include "storage/pg/pg_impl.h"

void ring_put(struct question_ring *ring, const struct question *q);
/* The oldest; there is one. */
struct question ring_take(struct question_ring *ring);

#endif
