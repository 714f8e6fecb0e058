/*
 * spool.h - a message while it is being received: in memory up to 256 KiB,
 * then in a file without a name.
 *
 * What all spools of a process may take is bounded by their spool_space, in
 * memory and on disk. A spool that found no room keeps nothing from then on
 * and says so; it must never pass for the whole message.
 */
#ifndef POSTERN_STORAGE_SPOOL_H
#define POSTERN_STORAGE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"

enum { SPOOL_MEMORY = 262144, SPOOL_DIGEST = 32 };

struct spool_space;
struct spool;

/* dir is where the files go; it is looked at only when one is needed. Nothing is kept on failure: see spool_add(). */
struct spool_space *spool_space_new(const char *dir, uint64_t memory, uint64_t disk);
/* Spools that are left keep it until they are freed. */
void spool_space_free(struct spool_space **space);
/* Octets in memory, and in files, of all spools. */
uint64_t spool_space_memory(const struct spool_space *space);
uint64_t spool_space_disk(const struct spool_space *space);

struct spool *spool_new(struct spool_space *space);
void spool_free(struct spool **spool);
/* False: there was no room (logged, with the reason), now or before. */
bool spool_add(struct spool *spool, struct span data);
/* Gives up what it holds; spool_add() is false from now on. For a message that is refused already. */
void spool_drop(struct spool *spool);

uint64_t spool_octets(const struct spool *spool);
/* BLAKE2b-256 of all octets. Once, after the last spool_add(). */
void spool_digest(struct spool *spool, unsigned char out[SPOOL_DIGEST]);
/* The octets from `offset`, as many as are there and fit; false if they cannot be read back (logged). */
bool spool_read(struct spool *spool, uint64_t offset, char *out, size_t size, size_t *len_r);
/* All of it where it is in memory, until the next call; NULL where it is in a file. */
const char *spool_memory(const struct spool *spool);

#endif
