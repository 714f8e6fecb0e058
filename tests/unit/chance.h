/*
 * chance.h - libsodium's random numbers by a seed, so that a test that counts what chance does
 * counts the same each time. For tests alone, and for one process: whoever forks sets a seed in each.
 */
#ifndef POSTERN_TEST_CHANCE_H
#define POSTERN_TEST_CHANCE_H

#include <sodium.h>
#include <stdint.h>
#include <string.h>

static uint64_t chance_state;

static inline const char *chance_name(void)
{
    return "chance";
}

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint32_t chance_next(void)
{
    uint64_t z = chance_state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(z >> 32);
}

static inline void chance_fill(void *at, size_t len)
{
    for (size_t i = 0; i < len; i += sizeof(uint32_t)) {
        const uint32_t next = chance_next();
        memcpy((char *)at + i, &next, len - i < sizeof next ? len - i : sizeof next);
    }
}

static struct randombytes_implementation chance = {
    .implementation_name = chance_name, .random = chance_next, .buf = chance_fill,
};

static inline void chance_seed(uint64_t seed)
{
    chance_state = seed;
}

/* Instead of sodium_init(): false if that fails. */
static inline int chance_begin(uint64_t seed)
{
    chance_seed(seed);
    return randombytes_set_implementation(&chance) == 0 && sodium_init() >= 0;
}

#endif
