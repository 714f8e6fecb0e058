/*
 * spool.h - a message while it is being received: in memory up to 256 KiB,
 * then in a file without a name.
 *
 * What all spools of a process may take is bounded by their spool_space, in
 * memory and on disk. A spool that found no room keeps nothing from then on
 * and says so; it must never pass for the whole message.
 *
 * Where spool_space_beside() was called, nobody here ever waits for the disk:
 * what is not there yet is SPOOL_WAIT, and `ready` tells when to ask again. A
 * spool whose disk does not answer for a minute has found no room.
 */
#ifndef POSTERN_STORAGE_SPOOL_H
#define POSTERN_STORAGE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"
#include "storage/content/content.h"

enum { SPOOL_MEMORY = 262144 };

struct loop;
struct spool_space;
struct spool;

/* dir is where the files go; it is looked at only when one is needed. Nothing is kept on failure: see spool_add(). */
struct spool_space *spool_space_new(const char *dir, uint64_t memory, uint64_t disk);
/*
 * Files are worked on by the thread of disk_start(), if there is one, and its answers come by this
 * loop. Before the first spool.
 */
void spool_space_beside(struct spool_space *space, struct loop *loop);
/*
 * Before the loop's end. Spools that are left keep it until they are freed, and
 * are not told any more; the disk is waited for a little.
 */
void spool_space_free(struct spool_space **space);
/* Octets in memory, and in files, of all spools. Those of a file count until it is closed. */
uint64_t spool_space_memory(const struct spool_space *space);
uint64_t spool_space_disk(const struct spool_space *space);

struct spool *spool_new(struct spool_space *space);
/* At any time, whatever is under way. */
void spool_free(struct spool **spool);
/*
 * ready(arg) from the loop, never from within a call here: what was SPOOL_WAIT, or behind, may be
 * so no more. It may free the spool.
 */
void spool_watch(struct spool *spool, void (*ready)(void *arg), void *arg);
/* False: there was no room (logged, with the reason), now or before. */
bool spool_add(struct spool *spool, struct span data);
/* The disk does not keep up: more should not be added until `ready`, or memory has to take it. */
bool spool_behind(const struct spool *spool);
/* Gives up what it holds; spool_add() is false from now on. For a message that is refused already. */
void spool_drop(struct spool *spool);

uint64_t spool_octets(const struct spool *spool);
/* Of all octets. Once, after the last spool_add(). */
void spool_digest(struct spool *spool, unsigned char out[CONTENT_DIGEST]);

enum spool_state { SPOOL_READY, SPOOL_WAIT, SPOOL_FAILED };
/* After the last spool_add(): READY when all of it is where it is to be read from, FAILED as in spool_add(). */
enum spool_state spool_settle(struct spool *spool);
/*
 * READY: the octets from `offset`, as many as are there up to size, until the
 * next call for this spool. FAILED: they cannot be read back (logged). Settles
 * first.
 */
enum spool_state spool_fetch(struct spool *spool, uint64_t offset, size_t size, struct span *out_r);
/* Gives back the memory of what spool_fetch() has handed out. */
void spool_let_go(struct spool *spool);
/* All of it where it is in memory, until the next call; NULL where it is in a file. */
const char *spool_memory(const struct spool *spool);

#endif
