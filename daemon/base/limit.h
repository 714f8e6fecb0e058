/*
 * limit.h - limits by key, in memory shared by all cells: rates of events, which
 * decay with time, and numbers of things that exist at once.
 *
 * Tables of a fixed size, without a lock. A process that is killed leaves
 * nothing locked; one that has been taken over can at worst disturb counts.
 * A key is 64 bits that a stranger cannot choose (limit_key()).
 */
#ifndef POSTERN_BASE_LIMIT_H
#define POSTERN_BASE_LIMIT_H

#include <stddef.h>
#include <stdint.h>

struct limit_rates;
struct limit_present;

/* ------------------------------------------------------------------- keys */

/* A secret that all processes of one master share: without it a stranger cannot make two keys collide. */
struct limit_seed {
    unsigned char octets[16];
};
void limit_seed_make(struct limit_seed *seed_r);
/* kind keeps keys of different things apart. */
uint64_t limit_key(const struct limit_seed *seed, unsigned char kind, const void *data, size_t len);

/* ------------------------------------------------------------------ rates */

/*
 * Each event is forgotten one interval after the one before it, so a key's
 * count falls by one in each interval. If more keys collide than fit, the ones
 * with the lowest counts are replaced. now_ms is of any clock that all processes
 * share.
 */

/* Before the processes are forked; entries is rounded up. NULL with errno if there is no memory. */
struct limit_rates *limit_rates_new(size_t entries);
void limit_rates_free(struct limit_rates **rates);
/* How many are not forgotten. */
uint32_t limit_count(const struct limit_rates *rates, uint64_t key, uint64_t interval_ms, uint64_t now_ms);
/* One more, up to `most`; returns how many there were before. */
uint32_t limit_add(struct limit_rates *rates, uint64_t key, uint64_t interval_ms, uint32_t most, uint64_t now_ms);
/* One less: what was counted in advance did not happen. */
void limit_take_back(struct limit_rates *rates, uint64_t key, uint64_t interval_ms, uint64_t now_ms);

/* --------------------------------------------------------------- presence */

/*
 * Each process counts in an area of its own and sums over all areas, so the counts
 * of a process that died disappear with its area.
 */
enum { LIMIT_AREAS = 64 };

struct limit_present *limit_present_new(void);
void limit_present_free(struct limit_present **present);
/* An area, empty, for a process that is about to be forked, or -1 if all are taken: its process does not count. */
int limit_area_take(struct limit_present *present);
/* Its process has ended. -1 is allowed. */
void limit_area_give(struct limit_present *present, int area);
/*
 * One more, one less: by the process of the area. 0 where there was no room, and then it must not
 * leave; area may be -1.
 */
int limit_enter(struct limit_present *present, int area, uint64_t key);
void limit_leave(struct limit_present *present, int area, uint64_t key);
/* How many in all areas. */
uint32_t limit_present_count(const struct limit_present *present, uint64_t key);

/* ---------------------------------------------------------------- together */

/* What the processes of one master share. */
struct limits {
    struct limit_seed seed;
    struct limit_rates *rates;
    struct limit_present *present;
    struct recent *good;        /* when a key did well: names with a good login, and from where */
};

/* NULL with errno if there is no memory. */
struct limits *limits_new(void);
void limits_free(struct limits **limits);

#endif
