/*
 * retrieved.h - which messages of a maildrop a session has retrieved: those of
 * which the connection has taken all that was on its way to the client.
 */
#ifndef POSTERN_STORAGE_RETRIEVED_H
#define POSTERN_STORAGE_RETRIEVED_H

#include <stddef.h>
#include <stdint.h>

struct listing;

/* All zero: none was. */
struct retrieved {
    unsigned char *marks;           /* RETRIEVED_ of each message; NULL until the first one */
    size_t under_way, under_way_end; /* no others are RETRIEVED_UNDER_WAY */
    size_t count;                   /* of RETRIEVED_DONE */
    uint64_t octets;                /* theirs */
};
enum { RETRIEVED_NOT, RETRIEVED_UNDER_WAY, RETRIEVED_DONE };

/* Message i is on its way; and all that was on its way was taken. */
void retrieved_under_way(struct retrieved *r, const struct listing *listing, size_t i);
void retrieved_sent(struct retrieved *r, const struct listing *listing);
void retrieved_free(struct retrieved *r);

#endif
