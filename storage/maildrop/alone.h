/*
 * alone.h - deletions of many messages, one after the other, on a lane that nobody else waits for.
 */
#ifndef POSTERN_STORAGE_ALONE_H
#define POSTERN_STORAGE_ALONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drop;
struct store;
struct timer;

/* For alone.c, and tests. */
struct alone {
    struct store *store;
    void (*go)(struct drop *drop, bool has_lane);
    struct timer *timer;            /* to ask for the lane once more */
    struct drop *waiting;           /* linked by ending.next */
    struct drop *under_way;         /* whose lock is moved, or that is on the lane */
    unsigned tries;                 /* to get the lane, for those that wait now */
    size_t many;                    /* rows to change, from which on it is for this lane */
    uint64_t again;                 /* milliseconds between two tries */
};

/*
 * go: this drop is not moved any more; has_lane: its lock is on the lane, which is all its own until
 * alone_over(). Else it has no lane for that: nothing was asked of the database.
 */
struct alone *alone_new(struct store *store, void (*go)(struct drop *drop, bool has_lane));
/* At the end of the store, while it has a pg: those that wait go without. */
void alone_end(struct alone *alone);
void alone_free(struct alone **alone);
/* A drop that is ending waits for its turn. */
void alone_wait(struct alone *alone, struct drop *drop);
/* This one is gone. */
void alone_over(struct alone *alone, const struct drop *drop);
/* There may be a lane now, or certainly none. */
void alone_next(struct alone *alone);

#endif
