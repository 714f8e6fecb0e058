/*
 * ticket.c - how a ticket is made (see ticket.h). Pure.
 */
#include "auth/ticket.h"

#include <sodium.h>

#include "daemon/base/mem.h"

enum { SIGNED = MAILBOX_TICKET - crypto_auth_hmacsha256_BYTES, KIND_OPEN = 1 };

_Static_assert((int)TICKET_KEY == (int)crypto_auth_hmacsha256_KEYBYTES, "the key is one of HMAC-SHA256");

static void put(unsigned char **at, uint64_t v, int octets)
{
    while (octets-- > 0)
        *(*at)++ = (unsigned char)(v >> (8 * octets));
}

void ticket_make(const unsigned char key[TICKET_KEY], const struct mailbox_ref *mailbox,
                 const struct mailbox_versions *versions, uint32_t pid, int64_t until_ms,
                 struct mailbox_ticket *out)
{
    unsigned char *at = out->octets;

    put(&at, KIND_OPEN, 1);
    put(&at, (uint64_t)mailbox->number, 8);
    put(&at, (uint64_t)versions->proof, 8);
    put(&at, (uint64_t)versions->policy, 8);
    put(&at, pid, 4);
    put(&at, (uint64_t)until_ms, 8);
    ASSERT(at == out->octets + SIGNED);
    crypto_auth_hmacsha256(at, out->octets, SIGNED, key);
}
