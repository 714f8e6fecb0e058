/*
 * tickets.h - the key that an auth helper makes tickets with, and the database's
 * clock, as they were last told.
 */
#ifndef POSTERN_AUTH_TICKETS_H
#define POSTERN_AUTH_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"

struct credentials_source;
struct tickets;

/* source outlives it. Asks nothing yet. */
struct tickets *tickets_new(struct credentials_source *source);
/* Wipes the key. */
void tickets_free(struct tickets **tickets);

/*
 * Asks for the key, which blocks for one statement, if that is due: on a new
 * connection, or as the last look is older than a minute. A key that is there holds
 * while the database is away. False: there is none (why is logged).
 */
bool tickets_look(struct tickets *tickets);
/* The same, and then the ticket: for that mailbox, for the connection whose process is pid. */
bool tickets_make(struct tickets *tickets, const struct mailbox_ref *mailbox,
                  const struct mailbox_versions *versions, uint32_t pid, struct mailbox_ticket *ticket_r);

#endif
