/*
 * limit.c - counts by key in shared memory, one word for each.
 *
 * A rate is one word, the upper bits a tag of its key, the lower ones the time
 * when the last of its events will be forgotten (the generic cell rate
 * algorithm: the count is what is left until then, in intervals). So a change
 * is one compare-and-swap, there are no halves to be seen, and nothing has to
 * be swept. Must never wait for another process.
 */
#include "daemon/base/limit.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/base/mem.h"
#include "daemon/base/recent.h"

/* A set is a line of the processor's cache. */
enum { WAYS = 8, TIME_BITS = 44, FRACTION = 16 };

#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

_Static_assert(crypto_shorthash_KEYBYTES == sizeof(struct limit_seed), "a seed is a key of SipHash");

static void *share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at != MAP_FAILED ? at : NULL;
}

/* ------------------------------------------------------------------- keys */

void limit_seed_make(struct limit_seed *seed_r)
{
    randombytes_buf(seed_r->octets, sizeof seed_r->octets);
}

uint64_t limit_key(const struct limit_seed *seed, unsigned char kind, const void *data, size_t len)
{
    unsigned char text[512], hash[crypto_shorthash_BYTES];
    uint64_t key;

    if (len > sizeof text - 1)
        len = sizeof text - 1;
    text[0] = kind;
    if (len > 0)
        memcpy(text + 1, data, len);
    crypto_shorthash(hash, text, len + 1, seed->octets);
    memcpy(&key, hash, sizeof key);
    return key;
}

/* ------------------------------------------------------------------ rates */

struct limit_rates {
    _Atomic uint64_t *words;    /* shared; sets of WAYS */
    size_t mask;                /* of sets */
    size_t size;
};

struct limit_rates *limit_rates_new(size_t entries)
{
    size_t sets = 1, size;

    while (sets * WAYS < entries && sets <= SIZE_MAX / WAYS / 4)
        sets *= 2;
    if (__builtin_mul_overflow(sets, WAYS * sizeof(uint64_t), &size)) {
        errno = ENOMEM;
        return NULL;
    }
    _Atomic uint64_t *words = share(size);
    if (words == NULL)
        return NULL;
    struct limit_rates *r = mem_zalloc(sizeof *r);
    r->words = words;
    r->mask = sets - 1;
    r->size = size;
    return r;
}

void limit_rates_free(struct limit_rates **rates)
{
    if (*rates == NULL)
        return;
    munmap((*rates)->words, (*rates)->size);
    mem_free(*rates);
    *rates = NULL;
}

/* In sixteenths of a millisecond, so that intervals of less than one are not lost. */
static uint64_t ticks(uint64_t ms)
{
    return ms * FRACTION & TIME_MASK;
}

/* Other bits than those that choose the set. */
static uint64_t tag_of(uint64_t key)
{
    return key & ~TIME_MASK;
}

static _Atomic uint64_t *set_of(const struct limit_rates *r, uint64_t key)
{
    return r->words + (key & r->mask) * WAYS;
}

/* What is left until then, 0 for the past. */
static uint64_t left(uint64_t word, uint64_t now)
{
    uint64_t until = word & TIME_MASK;

    return until > now ? until - now : 0;
}

static uint32_t count_of(uint64_t ticks_left, uint64_t interval)
{
    uint64_t n = (ticks_left + interval - 1) / interval;

    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static _Atomic uint64_t *find(_Atomic uint64_t *set, uint64_t tag)
{
    for (int i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        if (word != 0 && (word & ~TIME_MASK) == tag)
            return &set[i];
    }
    return NULL;
}

/* Its place, or the one that makes room for it. */
static _Atomic uint64_t *find_or_evict(_Atomic uint64_t *set, uint64_t tag)
{
    _Atomic uint64_t *found = find(set, tag), *least = set;
    uint64_t until = UINT64_MAX;

    if (found != NULL)
        return found;
    for (int i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        if ((word & TIME_MASK) < until) {
            until = word & TIME_MASK;
            least = &set[i];
        }
    }
    return least;
}

uint32_t limit_count(const struct limit_rates *r, uint64_t key, uint64_t interval_ms, uint64_t now_ms)
{
    _Atomic uint64_t *at = find(set_of(r, key), tag_of(key));

    return at != NULL
               ? count_of(left(atomic_load_explicit(at, memory_order_relaxed), ticks(now_ms)), ticks(interval_ms))
               : 0;
}

uint32_t limit_add(struct limit_rates *r, uint64_t key, uint64_t interval_ms, uint32_t most, uint64_t now_ms)
{
    const uint64_t tag = tag_of(key), now = ticks(now_ms), interval = ticks(interval_ms);
    _Atomic uint64_t *at = find_or_evict(set_of(r, key), tag);
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed), new, was;

    do {
        was = (old & ~TIME_MASK) == tag && old != 0 ? left(old, now) : 0;
        new = was + interval < most * interval ? was + interval : most * interval;
        new = tag | (now + new < TIME_MASK ? now + new : TIME_MASK);
    } while (!atomic_compare_exchange_weak_explicit(at, &old, new, memory_order_relaxed, memory_order_relaxed));
    return count_of(was, interval);
}

void limit_take_back(struct limit_rates *r, uint64_t key, uint64_t interval_ms, uint64_t now_ms)
{
    const uint64_t tag = tag_of(key), now = ticks(now_ms), interval = ticks(interval_ms);
    _Atomic uint64_t *at = find(set_of(r, key), tag);

    if (at == NULL)
        return;
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed), was;
    do {
        if ((old & ~TIME_MASK) != tag)
            return;             /* somebody else has the place now */
        was = left(old, now);
    } while (!atomic_compare_exchange_weak_explicit(at, &old, tag | (now + (was > interval ? was - interval : 0)),
                                                    memory_order_relaxed, memory_order_relaxed));
}

/* --------------------------------------------------------------- presence */

enum { PRESENT_SETS = 4096 };

/* The upper half is a tag of the key, the lower one how many; 0 is an empty place. Only its process writes. */
struct area {
    _Atomic uint64_t words[PRESENT_SETS * WAYS];
};

struct limit_present {
    struct area *areas;                 /* shared; pages that nobody wrote cost nothing */
    _Atomic uint64_t *taken;            /* shared: a bit for each */
};

_Static_assert(LIMIT_AREAS == 64, "one bit for each area");

struct limit_present *limit_present_new(void)
{
    const size_t size = LIMIT_AREAS * sizeof(struct area);
    unsigned char *shared = share(size + sizeof(uint64_t));

    if (shared == NULL)
        return NULL;
    struct limit_present *p = mem_zalloc(sizeof *p);
    p->areas = (void *)shared;
    p->taken = (void *)(shared + size);
    return p;
}

void limit_present_free(struct limit_present **present)
{
    if (*present == NULL)
        return;
    munmap((*present)->areas, LIMIT_AREAS * sizeof(struct area) + sizeof(uint64_t));
    mem_free(*present);
    *present = NULL;
}

int limit_area_take(struct limit_present *p)
{
    uint64_t taken = atomic_load(p->taken);

    for (int i = 0; i < LIMIT_AREAS; i++)
        if (!(taken & UINT64_C(1) << i)) {
            atomic_fetch_or(p->taken, UINT64_C(1) << i);
            return i;
        }
    return -1;
}

void limit_area_give(struct limit_present *p, int area)
{
    if (area < 0)
        return;
    /* Not counted any more first. MADV_REMOVE gives the pages back, and zeroes to whoever looks. */
    atomic_fetch_and(p->taken, ~(UINT64_C(1) << area));
    if (madvise(&p->areas[area], sizeof p->areas[area], MADV_REMOVE) < 0)
        memset(&p->areas[area], 0, sizeof p->areas[area]);
}

static uint64_t present_tag(uint64_t key)
{
    return (key >> 32 | 1) << 32;       /* never 0 */
}

static _Atomic uint64_t *present_find(struct area *area, uint64_t key)
{
    _Atomic uint64_t *set = area->words + (key & (PRESENT_SETS - 1)) * WAYS;

    for (int i = 0; i < WAYS; i++)
        if ((atomic_load_explicit(&set[i], memory_order_relaxed) & ~(uint64_t)UINT32_MAX) == present_tag(key))
            return &set[i];
    return NULL;
}

int limit_enter(struct limit_present *p, int area, uint64_t key)
{
    if (area < 0)
        return 0;
    _Atomic uint64_t *at = present_find(&p->areas[area], key);
    if (at != NULL) {
        atomic_fetch_add_explicit(at, 1, memory_order_relaxed);
        return 1;
    }
    _Atomic uint64_t *set = p->areas[area].words + (key & (PRESENT_SETS - 1)) * WAYS;
    for (int i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&set[i], memory_order_relaxed) == 0) {
            atomic_store_explicit(&set[i], present_tag(key) | 1, memory_order_relaxed);
            return 1;
        }
    return 0;
}

void limit_leave(struct limit_present *p, int area, uint64_t key)
{
    _Atomic uint64_t *at = area >= 0 ? present_find(&p->areas[area], key) : NULL;

    if (at == NULL)
        return;
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed);
    atomic_store_explicit(at, (word & UINT32_MAX) > 1 ? word - 1 : 0, memory_order_relaxed);
}

uint32_t limit_present_count(const struct limit_present *p, uint64_t key)
{
    uint64_t taken = atomic_load(p->taken), sum = 0;

    for (; taken != 0; taken &= taken - 1) {
        const _Atomic uint64_t *at = present_find(&p->areas[__builtin_ctzll(taken)], key);
        if (at != NULL)
            sum += atomic_load_explicit(at, memory_order_relaxed) & UINT32_MAX;
    }
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

/* ---------------------------------------------------------------- together */

enum { RATES = 1 << 17, GOOD = 1 << 17 };      /* 1 and 2 MiB */

struct limits *limits_new(void)
{
    struct limits *l = mem_zalloc(sizeof *l);

    limit_seed_make(&l->seed);
    l->rates = limit_rates_new(RATES);
    l->present = limit_present_new();
    l->good = recent_new(GOOD);
    if (l->rates == NULL || l->present == NULL || l->good == NULL)
        limits_free(&l);
    return l;
}

void limits_free(struct limits **limits)
{
    struct limits *l = *limits;

    if (l == NULL)
        return;
    limit_rates_free(&l->rates);
    limit_present_free(&l->present);
    recent_free(&l->good);
    mem_free(l);
    *limits = NULL;
}
