/*
 * proven.h - passwords that were proven already, so that the next poll does
 * not cost another Argon2.
 *
 * What is kept is a keyed hash over the stored secret, or what stands for it and
 * changes with it, and the given password: so one that was changed is not
 * found, if that was fetched just now or is checked afterwards (account.h). There
 * is no way back from an entry, and only successes are kept.
 *
 * It is memory of all auth helpers of a host: a password that one has proven is
 * known to the others, and to those that come after a reload or an upgrade. It
 * has no lock: what two write at once into the same set is lost, or there
 * twice, and half of a digest is none.
 */
#ifndef POSTERN_AUTH_PROVEN_H
#define POSTERN_AUTH_PROVEN_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

struct proven;

/*
 * A descriptor of memory for `entries`, rounded up to a multiple of 4, with a key
 * of its own; closed on exec. For helpers and nobody else: who has it can say
 * that any password was proven. -1 with errno.
 */
int proven_memory(size_t entries);
/* Is it such memory, for as many? */
bool proven_fits(int fd, size_t entries);

/* fd is closed. -1, or what cannot be mapped: nothing is ever found. */
struct proven *proven_new(int fd);
/* What others use stays. */
void proven_free(struct proven **proven);
/* Was this password proven against this stored secret? */
bool proven_has(struct proven *proven, struct span stored, struct span password);
/* It was. The one of its set that was asked for longest ago makes room. */
void proven_add(struct proven *proven, struct span stored, struct span password);

#endif
