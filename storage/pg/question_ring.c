/*
 * question_ring.c - grows where it is full, and never shrinks.
 */
#include "storage/pg/question_ring.h"

#include "daemon/base/mem.h"

void ring_put(struct question_ring *ring, const struct question *q)
{
    if (ring->count == ring->cap) {
        size_t cap = ring->cap == 0 ? 16 : ring->cap * 2;
        struct question *at = mem_array(cap, sizeof at[0]);
        for (size_t i = 0; i < ring->count; i++)
            at[i] = ring->at[(ring->first + i) % ring->cap];
        mem_free(ring->at);
        *ring = (struct question_ring){ at, 0, ring->count, cap };
    }
    ring->at[(ring->first + ring->count) % ring->cap] = *q;
    ring->count++;
}

struct question ring_take(struct question_ring *ring)
{
    struct question q = ring->at[ring->first];
    ring->first = (ring->first + 1) % ring->cap;
    ring->count--;
    return q;
}
