/*
 * fnv.h - FNV-1a, 32 bits: spreads texts that nobody chooses with intent to collide, or where
 * that does no harm.
 */
#ifndef POSTERN_BASE_FNV_H
#define POSTERN_BASE_FNV_H

#include <stdint.h>

#include "daemon/base/span.h"

#define FNV1A_EMPTY 2166136261U

/* Of a text that goes on: `hash` is that of what came before, or FNV1A_EMPTY. */
static inline uint32_t fnv1a(uint32_t hash, struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.at[i]) * 16777619U;
    return hash;
}

#endif
