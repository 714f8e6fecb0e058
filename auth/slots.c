/*
 * slots.c - sets of places, two for each name (see slots.h).
 *
 * Must never believe a word that the checksum does not cover, nor follow one:
 * another process may be writing, or was killed while it did.
 */
#include "auth/slots.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "daemon/base/mem.h"

enum { CHECK_WORDS = crypto_shorthash_siphashx24_BYTES / sizeof(uint64_t) };
_Static_assert((int)SLOTS_KEY == (int)crypto_shorthash_siphashx24_KEYBYTES, "SipHash takes the key");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock of the C library's would be of one process only");

/*
 * A set. The tags are all that a search looks at: some bits of the name, 0 for an empty
 * place. Then when it was last asked for; neither is covered by the checksum. An entry
 * is its checksum, and its words.
 */
struct set {
    _Atomic uint32_t tags[SLOTS_WAYS], used_s[SLOTS_WAYS];
    _Atomic uint64_t words[];
};

size_t slots_octets(size_t sets, size_t words)
{
    return sets * SLOTS_WAYS * slots_entry_octets(words);
}

size_t slots_entry_octets(size_t words)
{
    return 2 * sizeof(uint32_t) + (CHECK_WORDS + words) * sizeof(uint64_t);
}

/* ------------------------------------------------------------------ places */

static struct set *set_at(const struct slots *s, size_t i)
{
    return (struct set *)(void *)(s->memory + i * slots_octets(1, s->words));
}

static _Atomic uint64_t *entry_at(const struct slots *s, struct set *set, size_t way)
{
    return set->words + way * (CHECK_WORDS + s->words);
}

static uint32_t tag_in(const struct set *set, size_t way)
{
    return atomic_load_explicit(&set->tags[way], memory_order_relaxed);
}

static uint32_t used_in(const struct set *set, size_t way)
{
    return atomic_load_explicit(&set->used_s[way], memory_order_relaxed);
}

static void set_used(struct set *set, size_t way, uint32_t now_s)
{
    if (used_in(set, way) != now_s)
        atomic_store_explicit(&set->used_s[way], now_s, memory_order_relaxed);
}

/* The tag is not zero. */
static uint32_t tag_of(const struct slots_name *name)
{
    uint32_t tag;

    memcpy(&tag, name->octets, sizeof tag);
    return tag != 0 ? tag : 1;
}

/* The other set of an entry, from either, by its tag alone, as the name of one that is moved is not known. */
static size_t other_set(const struct slots *s, size_t set, uint32_t tag)
{
    /* The constant of Fibonacci hashing: spreads the bits of the tag over the word. */
    const size_t sum = (size_t)((tag * UINT64_C(0x9E3779B97F4A7C15) >> 16) % s->sets);

    return sum >= set ? sum - set : sum + s->sets - set;
}

/* Nothing is in it, or what has ended. The clock may be a little ahead in another process. */
static bool is_free(const struct slots *s, const struct set *set, size_t way, uint32_t now_s)
{
    return tag_in(set, way) == 0 || (s->idle_s != 0 && (int32_t)(now_s - used_in(set, way)) > (int32_t)s->idle_s);
}

static size_t count_free(const struct slots *s, const struct set *set, uint32_t now_s)
{
    size_t n = 0;

    for (size_t way = 0; way < SLOTS_WAYS; way++)
        n += is_free(s, set, way, now_s);
    return n;
}

struct place {
    struct set *set;
    size_t way;
};

static bool find_free(const struct slots *s, struct set *set, uint32_t now_s, struct place *at_r)
{
    for (size_t way = 0; way < SLOTS_WAYS; way++)
        if (is_free(s, set, way, now_s)) {
            *at_r = (struct place){ set, way };
            return true;
        }
    return false;
}

/* ----------------------------------------------------------------- entries */

/* A copy, as it was at some moment, word for word. */
struct entry {
    uint64_t check[CHECK_WORDS];
    uint64_t words[SLOTS_WORDS_MAX];
};

static void read_entry(const struct slots *s, struct place at, struct entry *e)
{
    const _Atomic uint64_t *from = entry_at(s, at.set, at.way);

    for (size_t i = 0; i < CHECK_WORDS; i++)
        e->check[i] = atomic_load_explicit(from + i, memory_order_relaxed);
    for (size_t i = 0; i < s->words; i++)
        e->words[i] = atomic_load_explicit(from + CHECK_WORDS + i, memory_order_relaxed);
}

static void write_entry(const struct slots *s, struct place at, uint32_t tag, uint32_t now_s, const struct entry *e)
{
    _Atomic uint64_t *to = entry_at(s, at.set, at.way);

    set_used(at.set, at.way, now_s);
    for (size_t i = 0; i < CHECK_WORDS; i++)
        atomic_store_explicit(to + i, e->check[i], memory_order_relaxed);
    for (size_t i = 0; i < s->words; i++)
        atomic_store_explicit(to + CHECK_WORDS + i, e->words[i], memory_order_relaxed);
    atomic_store_explicit(&at.set->tags[at.way], tag, memory_order_relaxed);
}

static void checksum(const struct slots *s, const struct slots_name *name, const uint64_t *words,
                     uint64_t check_r[CHECK_WORDS])
{
    unsigned char all[SLOTS_NAME + SLOTS_WORDS_MAX * sizeof(uint64_t)], sum[crypto_shorthash_siphashx24_BYTES];

    memcpy(all, name->octets, SLOTS_NAME);
    if (s->words > 0)
        memcpy(all + SLOTS_NAME, words, s->words * sizeof *words);
    crypto_shorthash_siphashx24(sum, all, SLOTS_NAME + s->words * sizeof *words, s->key);
    memcpy(check_r, sum, sizeof sum);
}

static bool is_good(const struct slots *s, const struct slots_name *name, const struct entry *e)
{
    uint64_t check[CHECK_WORDS];

    checksum(s, name, e->words, check);
    return sodium_memcmp(check, e->check, sizeof check) == 0;
}

/* --------------------------------------------------------------- what is asked */

/* The two sets of a name, perhaps the same. */
static void sets_of(const struct slots *s, const struct slots_name *name, size_t sets_r[2])
{
    sets_r[0] = (size_t)(name->where % s->sets);
    sets_r[1] = other_set(s, sets_r[0], tag_of(name));
}

bool slots_get(const struct slots *s, const struct slots_name *name, uint32_t now_s, uint64_t *words_r)
{
    const uint32_t tag = tag_of(name);
    struct entry e;
    size_t sets[2];

    sets_of(s, name, sets);
    for (size_t i = 0; i < 2; i++)
        for (size_t way = 0; way < SLOTS_WAYS; way++) {
            const struct place at = { set_at(s, sets[i]), way };
            if (tag_in(at.set, way) != tag)
                continue;
            read_entry(s, at, &e);
            if (!is_good(s, name, &e))
                continue;
            set_used(at.set, way, now_s);
            if (s->words > 0)
                memcpy(words_r, e.words, s->words * sizeof *words_r);
            return true;
        }
    return false;
}

/* What is there under this name already, or under one that cannot be told from it. */
static bool find_same(const struct slots *s, const size_t sets[2], uint32_t tag, struct place *at_r)
{
    for (size_t i = 0; i < 2; i++)
        for (size_t way = 0; way < SLOTS_WAYS; way++)
            if (tag_in(set_at(s, sets[i]), way) == tag) {
                *at_r = (struct place){ set_at(s, sets[i]), way };
                return true;
            }
    return false;
}

/*
 * An entry of the set to its other set, if that has room. Until its place is taken it is there
 * twice, and stays so if this process is killed here: the one that is left over ends like any other.
 */
static bool move_one(const struct slots *s, size_t set, uint32_t now_s, struct place *at_r)
{
    struct entry e;

    for (size_t way = 0; way < SLOTS_WAYS; way++) {
        const struct place from = { set_at(s, set), way };
        const uint32_t tag = tag_in(from.set, way);
        const size_t other = other_set(s, set, tag);
        struct place to;

        if (other == set || !find_free(s, set_at(s, other), now_s, &to))
            continue;
        read_entry(s, from, &e);
        write_entry(s, to, tag, used_in(from.set, way), &e);
        *at_r = from;
        return true;
    }
    return false;
}

/*
 * Who goes: of two by chance the one that was asked for longer ago. Always the oldest would
 * be the wrong one, where names come round and round and are a few too many: each would go just
 * before it comes again.
 */
static struct place victim(const struct slots *s, const size_t sets[2])
{
    const uint32_t chance = randombytes_random();
    const struct place a = { set_at(s, sets[chance & 1]), chance >> 1 & (SLOTS_WAYS - 1) };
    const struct place b = { set_at(s, sets[chance >> 8 & 1]), chance >> 9 & (SLOTS_WAYS - 1) };

    return (int32_t)(used_in(a.set, a.way) - used_in(b.set, b.way)) <= 0 ? a : b;
}

bool slots_put(const struct slots *s, const struct slots_name *name, uint32_t now_s, const uint64_t *words)
{
    const uint32_t tag = tag_of(name);
    bool drives_out = false;
    struct entry e;
    struct place at;
    size_t sets[2];

    ASSERT(s->words <= SLOTS_WORDS_MAX);
    sets_of(s, name, sets);
    if (!find_same(s, sets, tag, &at)) {
        const bool second = count_free(s, set_at(s, sets[1]), now_s) > count_free(s, set_at(s, sets[0]), now_s);
        if (!find_free(s, set_at(s, sets[second]), now_s, &at) && !move_one(s, sets[0], now_s, &at) &&
            !move_one(s, sets[1], now_s, &at)) {
            at = victim(s, sets);
            drives_out = true;
        }
    }
    if (s->words > 0)
        memcpy(e.words, words, s->words * sizeof *words);
    checksum(s, name, words, e.check);
    write_entry(s, at, tag, now_s, &e);
    return drives_out;
}
