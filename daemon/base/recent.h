/*
 * recent.h - when a key was last seen, in memory shared by all cells.
 *
 * A fixed table of slots, chosen by a hash of the key; where two keys meet the
 * later one stays, so that an answer may be "never" too often, and is never a
 * wrong time of another key.
 */
#ifndef POSTERN_BASE_RECENT_H
#define POSTERN_BASE_RECENT_H

#include <stddef.h>
#include <stdint.h>

struct recent;

/* Before the processes are forked; slots is rounded up to a power of two. NULL with errno if there is no memory. */
struct recent *recent_new(size_t slots);
void recent_free(struct recent **recent);
/* The time (any clock that all processes share, in milliseconds) that was last set for the key; 0 if none is known. */
uint64_t recent_get(const struct recent *recent, uint64_t key);
void recent_set(struct recent *recent, uint64_t key, uint64_t when);

#endif
