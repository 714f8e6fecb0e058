/*
 * history.h - what sessions that retrieved something and deleted nothing leave
 * for the history of their mailboxes.
 */
#ifndef POSTERN_STORAGE_HISTORY_H
#define POSTERN_STORAGE_HISTORY_H

#include <stddef.h>

#include "daemon/base/buf.h"

struct drop;
struct store;
struct timer;

/* For history.c, and tests. What is left until it is written: arrays, as the database takes them. */
struct history {
    struct store *store;
    size_t sessions;                /* elements of each array but the last one */
    size_t messages;                /* elements of the last one */
    struct buf arrays[9];           /* in the order of the parameters of PG_NOTE_SESSIONS */
    struct timer *timer;
    size_t under_way;               /* statements */
};

/* The store's loop and pg are there before the first history_add(). */
struct history *history_new(struct store *store);
/* It ends, and something of it was retrieved. Asks for nothing and waits for nothing. */
void history_add(struct history *history, const struct drop *drop);
/* The same of more than HISTORY_MANY messages, in a statement of its own on the lane of the drop, alone there. */
enum { HISTORY_MANY = 8192 };
void history_add_alone(struct history *history, const struct drop *drop);
/* The store closes; the lanes are there still. Writes what is left, and waits for that, for two seconds at most. */
void history_end(struct history *history);
/* What came after that is lost. */
void history_free(struct history **history);

#endif
