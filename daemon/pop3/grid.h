/*
 * grid.h - when a client that has not logged in is sent answers that depend on a name.
 */
#ifndef POSTERN_POP3_GRID_H
#define POSTERN_POP3_GRID_H

#include <stdint.h>

/*
 * Milliseconds: the quantum of a challenge, and the shortest of a refusal. The quantum
 * hides a difference in work between names as long as that is shorter.
 */
enum { GRID_CHALLENGE = 20, GRID_REFUSAL = 100 };

/*
 * asked + least, or the first of asked + least + k * quantum that is not past, in milliseconds of
 * the loop. So the time reveals only how many quanta the work took, usually less than one.
 */
uint64_t grid_next(uint64_t asked, uint64_t least, uint64_t quantum, uint64_t now);

#endif
