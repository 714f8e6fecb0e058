/*
 * queue.h - who is next, where more want a password checked than can be.
 *
 * Bounded and fair: those who did well before come first, then those of whom
 * nothing is known, then those who failed; within each of these, in turn by
 * where they come from, so that one that asks a thousand times waits behind
 * himself. A queue that is full loses the newest of the greediest, of the
 * lowest rank that is there. Pure: no clock, no allocation for each place.
 */
#ifndef POSTERN_AUTH_QUEUE_H
#define POSTERN_AUTH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct queue;

enum queue_rank { QUEUE_GOOD, QUEUE_NEW, QUEUE_FAILED, QUEUE_RANKS };

/* Part of what waits. */
struct queue_place {
    TAILQ_ENTRY(queue_place) next;
    uint64_t line;
    enum queue_rank rank;
    bool first;         /* it waits before all others */
};

/* most: how many places, above zero. */
struct queue *queue_new(size_t most);
/* What is in it stays its owner's. */
void queue_free(struct queue **queue);

/*
 * At the end of a line: a number that stands for where it comes from, which a
 * stranger cannot choose. Returns the place that has to go as there are too
 * many now, perhaps this one; NULL if there is room. It is out already.
 */
struct queue_place *queue_put(struct queue *queue, struct queue_place *place, uint64_t line, enum queue_rank rank);
/* Before all others, and never lost: it has waited already. */
void queue_put_first(struct queue *queue, struct queue_place *place);
/* Takes the next one of this rank or a higher one out; NULL if there is none. */
struct queue_place *queue_take(struct queue *queue, enum queue_rank lowest);
void queue_remove(struct queue *queue, struct queue_place *place);
size_t queue_count(const struct queue *queue);

#endif
