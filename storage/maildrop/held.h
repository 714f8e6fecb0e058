/*
 * held.h - a set of maildrops by mailbox.
 *
 * Those that a store holds, opens or gives back. Two sessions on one lane would
 * both get the lock, as it belongs to the connection: so it is this set that
 * keeps them apart. A maildrop leaves it only when the unlocking was answered,
 * or its lane was lost.
 */
#ifndef POSTERN_STORAGE_HELD_H
#define POSTERN_STORAGE_HELD_H

#include <stdbool.h>

#include "daemon/base/hash.h"
#include "daemon/base/mailbox_ref.h"

struct drop;

/* Of a drop: its place in the set. mailbox and drop are set before it is added. */
struct held_place {
    struct mailbox_ref mailbox;
    struct drop *drop;
    struct hash_link by_mailbox;
    bool there;
};

/* All zero is an empty one. */
struct held {
    struct hash places;
};
bool held_add(struct held *held, struct held_place *place);     /* false: its mailbox is there already */
void held_remove(struct held *held, struct held_place *place);  /* nothing happens if it is not there */
struct drop *held_find(const struct held *held, const struct mailbox_ref *mailbox);     /* or NULL */
/* each() may remove the drop it is called for. */
void held_each(struct held *held, void (*each)(struct drop *drop, void *arg), void *arg);
void held_free(struct held *held);

#endif
