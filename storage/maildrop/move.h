/*
 * move.h - moves maildrop locks from one connection to another.
 */
#ifndef POSTERN_STORAGE_MOVE_H
#define POSTERN_STORAGE_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/pg/pg.h"

struct drop;
struct store;

enum { MOVE_MOST = 200 };       /* 2 ms of a lane, and so many slots of the lock table for a moment */
enum { PASS = 32 };

/* The asker fills in the first part and frees it when it has ended. */
struct move {
    struct store *store;
    void *owner;
    /*
     * Later, once. The lane of each drop says where its lock is: on `to`, on `from` still, or, where
     * the drop is lost, nowhere.
     */
    void (*ended)(struct move *move);
    struct pg_ref from, to;
    size_t count;
    struct drop *drops[MOVE_MOST];

    bool refused;               /* the new connection did not take them */
    int64_t until;              /* what step 1 said for step 2: the pass of these locks, and how long it holds */
    unsigned char pass[PASS];
};

/* Each drop has `moving` set from now on; ended() is to clear it. */
void move_start(struct move *move);

#endif
