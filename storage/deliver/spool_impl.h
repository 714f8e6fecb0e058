/*
 * spool_impl.h - the insides of spools: for spool.c and spool_disk.c, and
 * nobody else.
 */
#ifndef POSTERN_STORAGE_SPOOL_IMPL_H
#define POSTERN_STORAGE_SPOOL_IMPL_H

#include "storage/deliver/disk.h"
#include "storage/deliver/spool.h"

enum {
    SPOOL_PIECE = 131072,           /* gathers small pieces: a message of dot lines comes in thousands of them */
    SPOOL_PIECE_SHORT = 32768,      /* where memory is short */
};

struct timer;
struct work;

struct spool_space {
    char *dir;
    uint64_t memory_limit, disk_limit;
    uint64_t memory, disk;
    size_t users;               /* spools, and work of those that are gone */
    bool over;                  /* to be freed with the last of them */
    struct loop *loop;          /* NULL: who asks waits */
    struct disk *beside;
    struct spool *first, *last; /* those that wait for the disk, longest first */
    size_t reads;               /* under way */
    struct timer *tick;
    bool ticking;
    uint64_t slow_since;        /* the operator was told; 0: the disk is well */
};

struct spool {
    struct spool_space *space;
    struct content_hash hash;
    uint64_t octets;
    char *data;                 /* the message; once there is a file, what the disk was not given yet */
    size_t len, size;
    bool in_file;
    int fd;                     /* -1 too while the disk makes the file */
    uint64_t given;             /* octets that the disk was given */
    bool failed;

    struct work *work;          /* under way */
    char *piece;                /* read back */
    size_t piece_len;
    uint64_t piece_at;
    bool wants;                 /* to read that piece, when its turn comes */

    void (*ready)(void *arg);
    void *arg;
    bool waiting;               /* in the space's list */
    struct spool *prev, *next;
    uint64_t since;
};

/* All of these in spool_disk.c, and spool_drop() and spool_let_go(); it calls nothing of spool.c. */
void spool_unuse(struct spool_space *space);
/* Of its data. size may be 0: the memory is given back. */
void spool_set_size(struct spool *spool, size_t size);
/* What is begun here is over already where there is no thread. */
/* All that is in memory, as the next piece of the file. False: there is no room. */
bool spool_write_piece(struct spool *spool);
/* The piece that piece_at and piece_len say, when its turn comes. */
void spool_want_piece(struct spool *spool);
void spool_disk_end(struct spool_space *space);

#endif
