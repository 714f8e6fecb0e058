/*
 * ticket.h - what opens a maildrop: made by an auth helper for a login, verified by
 * the database (sql/schema/20_tickets.sql), handed on by the worker in between.
 *
 * 69 octets, integers in network order:
 *
 *      1  01
 *      8  the mailbox
 *      8  the proof that a cached login was verified under, or 0
 *      8  the version of policies, or 0
 *      4  the process number of the connection that will have the lock
 *      8  until when the maildrop can be opened with it, in milliseconds since 1970
 *     32  HMAC-SHA256 (RFC 2104) of these 37 octets
 */
#ifndef POSTERN_AUTH_TICKET_H
#define POSTERN_AUTH_TICKET_H

#include <stdint.h>

#include "daemon/base/mailbox_ref.h"

enum {
    TICKET_KEY = 32,                /* octets of the key */
    TICKET_LIFE_MS = 120000,        /* ticket_made_at() in SQL knows it, too */
};

/* versions: all zero for a login whose secrets were looked at. until_ms: of the database's clock. */
void ticket_make(const unsigned char key[TICKET_KEY], const struct mailbox_ref *mailbox,
                 const struct mailbox_versions *versions, uint32_t pid, int64_t until_ms,
                 struct mailbox_ticket *ticket_r);

#endif
