/*
 * takeover.h - what drop.c, store.c and presence.c know of takeover.c.
 */
#ifndef POSTERN_STORAGE_TAKEOVER_H
#define POSTERN_STORAGE_TAKEOVER_H

#include "storage/maildrop/store_impl.h"

/*
 * drop was to be opened and is locked: by somebody else's backend (drop->held),
 * or in this worker (not drop->held). True: it waits, and drop_open_again()
 * comes later, from the loop, once. False: [IN-USE] it is.
 */
bool takeover_start(struct drop *drop);
/* The end of a wait, a timer's; all of them while the store closes. */
void takeover_due(void *store);
/* A maildrop is not held here any more. */
void takeover_ended(struct drop *drop);

/* Notifications, their form checked: somebody asks for a maildrop ... */
void takeover_asked(struct store *store, const struct mailbox_ref *mailbox, const char *channel, const char *by);
/* ... or the backend pid says that an operator wants it ... */
void takeover_ordered(struct store *store, const struct mailbox_ref *mailbox, const char *channel, int pid);
/* ... or what we asked for is free, or its holder at work. */
void takeover_answered(struct store *store, const struct mailbox_ref *mailbox, bool is_free);

#endif
