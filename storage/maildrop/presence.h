/*
 * presence.h - what workers say to each other and to posternctl by notifications.
 */
#ifndef POSTERN_STORAGE_PRESENCE_H
#define POSTERN_STORAGE_PRESENCE_H

struct store;

/* A pg_events.notified. */
void presence_notified(struct store *store, const char *channel, const char *text, int pid);

#endif
