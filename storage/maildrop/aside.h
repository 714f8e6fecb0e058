/*
 * aside.h - moves the locks of sessions that rest to a connection of their own.
 */
#ifndef POSTERN_STORAGE_ASIDE_H
#define POSTERN_STORAGE_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drop;
struct store;
struct timer;

/* For aside.c, and tests. */
struct aside {
    struct store *store;
    void (*moved)(struct drop *drop);
    struct timer *timer;
    bool due;                       /* the timer is set */
    bool moving;                    /* drops are moved aside */
    uint64_t rest;                  /* after so many milliseconds without a question a session rests */
    size_t many;                    /* it matters when so many maildrops are held on the lanes */
};

/* moved: the lock of this drop has stopped to move (drop->moving), wherever it is now. */
struct aside *aside_new(struct store *store, void (*moved)(struct drop *drop));
void aside_free(struct aside **aside);
/* One more maildrop is held. */
void aside_watch(struct aside *aside);
void aside_next(void *aside);                   /* timer */

#endif
