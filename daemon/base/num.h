/*
 * num.h - numbers from text, and sums that are checked.
 */
#ifndef POSTERN_BASE_NUM_H
#define POSTERN_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

/*
 * Decimal digits only, at least one, nothing else: no sign, no space. Leading
 * zeros are allowed. Returns 1 and the value; 0 if it is not a number; -1 if
 * it is one that is larger than max (*value_r is then max).
 */
int num_parse(struct span text, uint64_t max, uint64_t *value_r);

/*
 * Decimal text of v in out (at least 20 octets, no NUL is written); returns how many. Faster than
 * printf for listings.
 */
size_t num_format(char *out, uint64_t v);

/* False if the sum does not fit. */
static inline bool num_add(uint64_t a, uint64_t b, uint64_t *sum_r) { return !__builtin_add_overflow(a, b, sum_r); }

#endif
