/*
 * takeover.h - a maildrop passes from a session whose client fell silent to
 * the next good login.
 */
#ifndef POSTERN_STORAGE_TAKEOVER_H
#define POSTERN_STORAGE_TAKEOVER_H

#include <stdbool.h>

#include "daemon/base/mailbox_ref.h"

struct drop;
struct store;
struct takeover;

/*
 * again: the end of the wait of a drop for which takeover_start() was true, from
 * the loop, once. refused: who holds it stays.
 */
struct takeover *takeover_new(struct store *store, void (*again)(struct drop *drop, bool refused));
void takeover_free(struct takeover **takeover);

/*
 * drop was to be opened and is locked: by somebody else's backend (drop is held),
 * or in this worker (it is not). True: it waits, and `again` comes. False:
 * [IN-USE] it is.
 */
bool takeover_start(struct drop *drop);
/* The end of a wait, a timer's; all of them while the store closes. */
void takeover_due(void *takeover);
/* A maildrop is not held here any more. */
void takeover_ended(struct drop *drop);

/* Notifications, their form checked: somebody asks for a maildrop ... */
void takeover_asked(struct store *store, const struct mailbox_ref *mailbox, const char *channel, const char *by);
/* ... or the backend pid says that an operator wants it ... */
void takeover_ordered(struct store *store, const struct mailbox_ref *mailbox, const char *channel, int pid);
/* ... or what we asked for is free, or its holder at work. */
void takeover_answered(struct store *store, const struct mailbox_ref *mailbox, bool is_free);

#endif
