/*
 * store.h - a worker's access to the database: its lanes and its memory of listings.
 */
#ifndef POSTERN_STORAGE_STORE_H
#define POSTERN_STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/options.h"
#include "daemon/base/sql.h"
#include "storage/pg/status.h"

struct loop;
struct store;

struct storage_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "storage/maildrop/options.def"
#undef OPTION
    bool one_session;       /* no option, set by who serves one session and ends: see pg_serve_one() */
};
extern const struct option_table storage_options;

/*
 * Starts to connect its lanes and returns at once. conninfo is complete
 * (conninfo_merge()). A lane that is lost is connected again with back-off and
 * jitter, for ever. A database whose schema version this program does not know
 * is not used: wrong_schema(arg, text) is called, text says which command
 * mends it; requests are answered DB_BUG until a lane finds the right one.
 */
struct store *store_new(struct loop *loop, const struct storage_settings *settings, const char *conninfo,
                        void (*wrong_schema)(void *arg, const char *text), void *arg);
/*
 * Closes the lanes. Not from within a callback. Every drop was finished before
 * (or its asker will never touch it again); answers that are on their way are
 * not told to anybody.
 */
void store_free(struct store **store);

/* Lanes that answer; those that have a statement under way. */
size_t store_lanes_up(const struct store *store);
size_t store_lanes_busy(const struct store *store);
/* Maildrops that this store holds the lock of. */
size_t store_held(const struct store *store);
/* Statements that were sent since the start, session by session work only (no set-up of lanes). */
unsigned long long store_statements(const struct store *store);

#endif
