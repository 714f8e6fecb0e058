/*
 * store.c - what all maildrops of a worker share: lanes, listings, bounds.
 */
#include "storage/maildrop/store.h"

#include <unistd.h>

#include "daemon/base/idmap.h"
#include "daemon/base/mem.h"
#include "storage/maildrop/alone.h"
#include "storage/maildrop/aside.h"
#include "storage/maildrop/drop_impl.h"
#include "storage/maildrop/drop_read.h"
#include "storage/maildrop/finish.h"
#include "storage/maildrop/history.h"
#include "storage/maildrop/listing_cache.h"
#include "storage/maildrop/login_lane.h"
#include "storage/maildrop/open.h"
#include "storage/maildrop/presence.h"
#include "storage/maildrop/reclaim.h"
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
    struct store *store = owner;

    login_lanes_decided(store);
    alone_next(store->alone);
}

static void notified(void *owner, const char *channel, const char *text, int pid)
{
    presence_notified(owner, channel, text, pid);
}

static void wrong_schema(void *owner, const char *text)
{
    struct store *store = owner;
    store->owner.wrong_schema(store->owner.arg, text);
}

static const struct pg_events events = {
    .lost = lane_lost, .decided = decided, .notified = notified, .wrong_schema = wrong_schema
};

struct store *store_new(struct loop *loop, const struct storage_settings *settings, const char *conninfo,
                        void (*wrong)(void *arg, const char *text), void *arg)
{
    struct store *store = mem_zalloc(sizeof *store);

    store->loop = loop;
    store->owner = (struct store_owner){ wrong, arg };
    store->opens.askers = idmap_new();
    TAILQ_INIT(&store->opens.waiting);
    store->listings = listing_cache_new((size_t)settings->listing_cache);
    store->read_ahead = read_ahead_new(loop, (uint64_t)settings->read_ahead, (uint64_t)settings->read_ahead_total);
    store->takeover = takeover_new(store, drop_open_again);
    store->reclaim = reclaim_new(store);
    store->aside = aside_new(store, drop_moved);
    store->alone = alone_new(store, drop_end_alone);
    store->history = history_new(store);
    if (gethostname(store->host, sizeof store->host - 1) != 0)
        store->host[0] = '\0';
    store->pg =
        pg_new(loop, conninfo, &maildrop_statements,
               &(struct pg_wants){ (size_t)settings->database_lanes, (uint64_t)settings->database_statement_timeout,
                                   (uint64_t)settings->database_retry, settings->database_synchronous_commit,
                                   (size_t)settings->database_lane_sessions, false },
               &events, store);
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
    takeover_due(store->takeover);
    alone_end(store->alone);
    history_end(store->history);
    pg_free(&store->pg);
    read_ahead_free(&store->read_ahead);
    takeover_free(&store->takeover);
    reclaim_free(&store->reclaim);
    alone_free(&store->alone);
    aside_free(&store->aside);
    history_free(&store->history);
    listing_cache_free(&store->listings);
    held_free(&store->held);
    idmap_free(&store->opens.askers);
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
