/*
 * grid.c - the moments at which a client that has not logged in is sent answers
 * that depend on a name (see grid.h). Knows no session.
 */
#include "daemon/pop3/grid.h"

uint64_t grid_next(uint64_t asked, uint64_t least, uint64_t quantum, uint64_t now)
{
    uint64_t first = asked + least;

    if (now <= first)
        return first;
    return first + (now - first + quantum - 1) / quantum * quantum;
}
