/*
 * drop_read.h - what of reading messages is not drop_read() itself (drop.h).
 */
#ifndef POSTERN_STORAGE_DROP_READ_H
#define POSTERN_STORAGE_DROP_READ_H

#include <stdbool.h>
#include <stdint.h>

struct drop;
struct loop;
struct read_ahead;

/* What all drops of a store may keep ahead: octets of one drop, and of all. Outlives the drops. */
struct read_ahead *read_ahead_new(struct loop *loop, uint64_t each, uint64_t all);
void read_ahead_free(struct read_ahead **ahead);
/* Timer: what was read ahead and is not used. */
void read_ahead_forget(void *ahead);

/* Nothing is read any more. */
void drop_read_end(struct drop *drop);
/* An answer is waited for. */
bool drop_read_waits(const struct drop *drop);
/* When something was read last, of the loop's clock; 0: never. */
uint64_t drop_read_at(const struct drop *drop);

#endif
