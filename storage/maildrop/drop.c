/*
 * drop.c - what is known of a maildrop that is open, and what becomes of it
 * when its lock is lost. Asks nothing.
 */
#include "storage/maildrop/drop.h"

#include "daemon/base/idmap.h"
#include "storage/maildrop/drop_impl.h"

void drop_charge(struct drop *drop)
{
    if (drop->store->closing)       /* nobody hears of it, and what could tell the time is going */
        return;
    drop->cost.statements++;
    drop->cost.us += pg_took_us(drop->store->pg);
}

bool drop_is_awaited(const struct drop *drop)
{
    return idmap_get(drop->store->opens.askers, drop->opening.id) != NULL;
}

/* ---- loss of a lane */

static void let_go(struct drop *drop, void *arg)
{
    struct store *store = arg;

    /* The database has released the lock with the connection: somebody else may open the maildrop now, here too. */
    if (drop->lane.lane == NULL || pg_alive(drop->lane))
        return;
    held_remove(&store->held, &drop->place);
    store->open -= drop->state == DROP_OPEN;
}

void drop_lane_lost(struct store *store)
{
    held_each(&store->held, let_go, store);
}

void drop_lose(struct drop *drop)
{
    drop->store->open -= drop->place.there && drop->state == DROP_OPEN;
    held_remove(&drop->store->held, &drop->place);
    pg_unbind(drop->lane);
    drop->lane = (struct pg_ref){ NULL, 0 };
}

bool drop_lost(const struct drop *drop)
{
    return !pg_alive(drop->lane);
}

/* ---- what is in it */

struct drop_cost drop_cost(const struct drop *drop)
{
    return drop->cost;
}

struct drop_cost store_cost(const struct store *store)
{
    return store->cost;
}

size_t drop_count(const struct drop *drop)
{
    return listing_count(drop->listing);
}

uint64_t drop_octets(const struct drop *drop)
{
    return listing_octets(drop->listing);
}

uint64_t drop_message_octets(const struct drop *drop, size_t i)
{
    return listing_message_octets(drop->listing, i);
}

size_t drop_message_uidl(const struct drop *drop, size_t i, char out[UIDL_MAX])
{
    return listing_uidl(drop->listing, i, out);
}

void drop_note_retrieved(struct drop *drop, size_t i)
{
    retrieved_under_way(&drop->retrieved, drop->listing, i);
}

void drop_note_sent(struct drop *drop)
{
    retrieved_sent(&drop->retrieved, drop->listing);
}
