/*
 * clock.c - the time that only goes on.
 */
#include "daemon/base/clock.h"

#include <limits.h>
#include <time.h>

uint64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_ms(void)
{
    return clock_us() / 1000 + 1;
}

int clock_left(uint64_t until)
{
    uint64_t now = clock_ms();

    if (now >= until)
        return 0;
    return until - now > INT_MAX ? INT_MAX : (int)(until - now);
}
