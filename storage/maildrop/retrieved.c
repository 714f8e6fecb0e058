/*
 * retrieved.c - a mark for each message (see retrieved.h).
 */
#include "storage/maildrop/retrieved.h"

#include "daemon/base/mem.h"
#include "storage/maildrop/listing.h"

void retrieved_under_way(struct retrieved *r, const struct listing *listing, size_t i)
{
    if (r->marks == NULL)
        r->marks = mem_array(listing_count(listing), 1);
    if (r->marks[i] != RETRIEVED_NOT)
        return;
    r->marks[i] = RETRIEVED_UNDER_WAY;
    if (r->under_way == r->under_way_end) {
        r->under_way = i;
        r->under_way_end = i + 1;
    } else if (i < r->under_way) {
        r->under_way = i;
    } else if (i >= r->under_way_end) {
        r->under_way_end = i + 1;
    }
}

void retrieved_sent(struct retrieved *r, const struct listing *listing)
{
    for (size_t i = r->under_way; i < r->under_way_end; i++)
        if (r->marks[i] == RETRIEVED_UNDER_WAY) {
            r->marks[i] = RETRIEVED_DONE;
            r->count++;
            r->octets += listing_message_octets(listing, i);
        }
    r->under_way = r->under_way_end = 0;
}

void retrieved_free(struct retrieved *r)
{
    mem_free(r->marks);
    *r = (struct retrieved){ .marks = NULL };
}
