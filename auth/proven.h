/*
 * proven.h - passwords that were proven already, so that the next poll does
 * not cost another Argon2.
 *
 * What is kept is a keyed hash over the stored secret, or what stands for it and
 * changes with it, and the given password: so one that was changed is not
 * found, if that was fetched just now or is checked afterwards (account.h). There
 * is no way back from an entry, and only successes are kept.
 */
#ifndef POSTERN_AUTH_PROVEN_H
#define POSTERN_AUTH_PROVEN_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

struct proven;

/* Room for `entries`, rounded up to a multiple of 4; with 0 nothing is ever found. */
struct proven *proven_new(size_t entries);
/* Wipes key and entries. */
void proven_free(struct proven **proven);
/* Was this password proven against this stored secret? */
bool proven_has(struct proven *proven, struct span stored, struct span password);
/* It was. The one of its set that was asked for longest ago makes room. */
void proven_add(struct proven *proven, struct span stored, struct span password);

#endif
