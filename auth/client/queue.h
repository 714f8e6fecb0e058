/*
 * queue.h - the order of logins that wait for an auth helper.
 *
 * Bounded and fair: clients with a good login before come first, then those of
 * them who need a slow hash, then unknown ones, then those that failed; within each rank the origins take turns, so
 * that a client with a thousand requests waits for itself only. A full queue
 * drops the newest request of the origin with most requests in the lowest rank
 * that is present. Pure: no clock, no allocation for each place.
 */
#ifndef POSTERN_AUTH_QUEUE_H
#define POSTERN_AUTH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct queue;

enum queue_rank { QUEUE_GOOD, QUEUE_SLOW, QUEUE_NEW, QUEUE_FAILED, QUEUE_RANKS };

/* Part of what waits. */
struct queue_place {
    TAILQ_ENTRY(queue_place) next;
    uint64_t line;
    enum queue_rank rank;
    bool first;         /* it waits before all others */
};

/* most: how many places, above zero. */
struct queue *queue_new(size_t most);
/* The places in it remain their owners'. */
void queue_free(struct queue **queue);

/*
 * At the end of a line: a number that represents the origin, which a stranger
 * cannot choose. Returns the place that was removed because the queue is full,
 * perhaps this one; NULL if there was room.
 */
struct queue_place *queue_put(struct queue *queue, struct queue_place *place, uint64_t line, enum queue_rank rank);
/* Before all others, and never lost: it has waited already. */
void queue_put_first(struct queue *queue, struct queue_place *place);
/* Takes the next one of this rank or a higher one out; NULL if there is none. */
struct queue_place *queue_take(struct queue *queue, enum queue_rank lowest);
void queue_remove(struct queue *queue, struct queue_place *place);
size_t queue_count(const struct queue *queue);

#endif
