/*
 * tls_tickets.h - the keys by which TLS sessions are resumed: the same ones in
 * all processes that were forked from the one that made them, new ones after
 * each life, without communication between the processes.
 *
 * Keys come from a chain: each life's secret is a hash of the one before, which
 * is then overwritten. An attacker who obtains today's memory cannot read yesterday's
 * tickets, and every process can take the next step by its clock alone.
 */
#ifndef POSTERN_NET_TLS_TICKETS_H
#define POSTERN_NET_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

struct tls_tickets;

enum { TICKET_NAME = 16, TICKET_KEY = 32 };

struct ticket_key {
    unsigned char name[TICKET_NAME];        /* public: it is in the ticket */
    unsigned char cipher[TICKET_KEY], mac[TICKET_KEY];
};

/* life in milliseconds, above 0; now is clock_ms() everywhere here. Never NULL. */
struct tls_tickets *tls_tickets_new(uint64_t life, uint64_t now);
/* The same keys once more. */
struct tls_tickets *tls_tickets_copy(const struct tls_tickets *tickets);
/* Overwrites the keys. */
void tls_tickets_free(struct tls_tickets **tickets);
uint64_t tls_tickets_life(const struct tls_tickets *tickets);
/* Forgets what is too old. Before a fork too, so that a child does not inherit it. */
void tls_tickets_turn(struct tls_tickets *tickets, uint64_t now);

/* The key for new tickets. */
const struct ticket_key *tls_tickets_current(struct tls_tickets *tickets, uint64_t now);
/*
 * The key of this name, of this life or the one before; NULL for any other. *old_r: the client
 * should get a new ticket.
 */
const struct ticket_key *tls_tickets_find(struct tls_tickets *tickets, uint64_t now,
                                          const unsigned char name[TICKET_NAME], bool *old_r);

#endif
