/*
 * traced.h - whose dialogues are written to the log, word by word.
 *
 * A subject is the address of a mailbox ("anna@example.org"), an address or a
 * network of clients ("192.0.2.1", "2001:db8::/32"), or "unix" for clients that
 * came by a unix socket. Each one is for a time and ends by itself. The list
 * belongs to the process, and to those that it forks afterwards.
 */
#ifndef POSTERN_BASE_TRACED_H
#define POSTERN_BASE_TRACED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"

enum { TRACED_MAX = 16, TRACED_SUBJECT_SIZE = 321 };

/* Is this text a subject? */
bool traced_is_subject(const char *subject);
/*
 * Until then (monotonic ms, as loop_now()); 0 ends it. One that is there
 * already gets the new time. False if it is no subject or there is no room.
 */
bool traced_set(const char *subject, uint64_t until, uint64_t now);
void traced_clear(void);
/* Costs next to nothing while nobody is traced. peer as conn_peer() says it; address is empty before the login. */
bool traced_wanted(const char *peer, struct span address, uint64_t now);

#endif
