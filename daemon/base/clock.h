/*
 * clock.h - the time that only goes on: CLOCK_MONOTONIC, the same for all processes
 * of this host, whatever is done to the date. The date is time().
 */
#ifndef POSTERN_BASE_CLOCK_H
#define POSTERN_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds, for how long something took. */
uint64_t clock_us(void);
/* Milliseconds, for deadlines. Never 0, which callers use for "not set". */
uint64_t clock_ms(void);
/* How many of those milliseconds are left until then: 0 when it has come; INT_MAX at most, as poll() takes them. */
int clock_left(uint64_t until);

#endif
