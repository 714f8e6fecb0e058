/*
 * store.c - what all maildrops of a worker share: lanes, listings, bounds.
 */
#include "storage/maildrop/store.h"

#include <unistd.h>

#include "daemon/base/idmap.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/maildrop/listing_cache.h"
#include "storage/maildrop/store_impl.h"
#include "storage/maildrop/takeover.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct storage_settings, field) },
#include "storage/maildrop/options.def"
#undef OPTION
};
const struct option_table storage_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct storage_settings) };

static void lane_lost(void *owner)
{
    drop_lane_lost(owner);
}

static void decided(void *owner)
{
    drop_try_parked(owner);
}

static void notified(void *owner, const char *channel, const char *text, int pid)
{
    presence_notified(owner, channel, text, pid);
}

static void wrong_schema(void *owner, const char *text)
{
    struct store *store = owner;
    store->wrong_schema(store->arg, text);
}

static const struct pg_events events = {
    .lost = lane_lost, .decided = decided, .notified = notified, .wrong_schema = wrong_schema
};

struct store *store_new(struct loop *loop, const struct storage_settings *settings, const char *conninfo,
                        void (*wrong)(void *arg, const char *text), void *arg)
{
    struct store *store = mem_zalloc(sizeof *store);

    store->loop = loop;
    store->wrong_schema = wrong;
    store->arg = arg;
    store->opens = idmap_new();
    store->listings = listing_cache_new((size_t)settings->listing_cache);
    store->read_ahead = (uint64_t)settings->read_ahead;
    store->read_ahead_total = (uint64_t)settings->read_ahead_total;
    store->readers_timer = timer_new(loop, drop_forget_ahead, store);
    store->takeover.timer = timer_new(loop, takeover_due, store);
    store->reclaim_timer = timer_new(loop, reclaim_next, store);
    aside_init(store);
    history_init(store);
    if (gethostname(store->host, sizeof store->host - 1) != 0)
        store->host[0] = '\0';
    store->pg =
        pg_new(loop, conninfo, PG_MAILDROPS, (size_t)settings->database_lanes,
               (uint64_t)settings->database_statement_timeout, (uint64_t)settings->database_retry, &events, store);
    if (settings->one_session)
        pg_serve_one(store->pg);
    return store;
}

void store_free(struct store **storep)
{
    struct store *store = *storep;

    *storep = NULL;
    if (store == NULL)
        return;
    /* Answers that were on their way end their drops without telling anybody. */
    store->closing = true;
    drop_try_parked(store);
    takeover_due(store);
    history_free(store);
    pg_free(&store->pg);
    timer_free(&store->readers_timer);
    timer_free(&store->reclaim_timer);
    timer_free(&store->aside_timer);
    timer_free(&store->takeover.timer);
    listing_cache_free(&store->listings);
    held_free(&store->held);
    idmap_free(&store->opens);
    mem_free(store);
}

size_t store_lanes_up(const struct store *store)
{
    return pg_lanes_up(store->pg);
}

size_t store_lanes_busy(const struct store *store)
{
    return pg_lanes_busy(store->pg);
}

size_t store_held(const struct store *store)
{
    return store->open;
}

unsigned long long store_statements(const struct store *store)
{
    return pg_statements(store->pg);
}
