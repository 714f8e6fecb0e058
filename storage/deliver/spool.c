/*
 * spool.c - a message while it is being received.
 *
 * The file is opened with O_TMPFILE, so that it has never had a name and
 * vanishes with the process. It is not synced: what is acknowledged is in the
 * database. Must never touch it itself: spool_disk.c has that done.
 */
#include "storage/deliver/spool.h"

#include <string.h>

#include "daemon/base/mem.h"
#include "storage/deliver/spool_impl.h"

enum { FIRST_SIZE = 16384 };

/* -------------------------------------------------------------------- space */

struct spool_space *spool_space_new(const char *dir, uint64_t memory, uint64_t disk)
{
    struct spool_space *space = mem_zalloc(sizeof *space);

    space->dir = mem_str(dir);
    space->memory_limit = memory;
    space->disk_limit = disk;
    return space;
}

void spool_space_free(struct spool_space **spacep)
{
    struct spool_space *space = *spacep;

    *spacep = NULL;
    if (space == NULL)
        return;
    space->over = true;
    space->users++;
    spool_disk_end(space);
    spool_unuse(space);
}

uint64_t spool_space_memory(const struct spool_space *space)
{
    return space->memory;
}

uint64_t spool_space_disk(const struct spool_space *space)
{
    return space->disk;
}

/* ------------------------------------------------------------------- memory */

/* Room for more in memory; false: it has to go to the file. */
static bool grow(struct spool *s, size_t more)
{
    size_t size = s->size == 0 ? FIRST_SIZE : s->size;

    while (size - s->len < more && size < SPOOL_MEMORY)
        size *= 2;
    if (size - s->len < more || s->space->memory - s->size + size > s->space->memory_limit)
        return false;
    if (size > s->size)
        spool_set_size(s, size);
    return true;
}

/* What goes to the disk at once. */
static size_t piece_size(const struct spool *s)
{
    return s->space->memory - s->size + SPOOL_PIECE > s->space->memory_limit ? SPOOL_PIECE_SHORT : SPOOL_PIECE;
}

/* -------------------------------------------------------------------- spool */

struct spool *spool_new(struct spool_space *space)
{
    struct spool *s = mem_zalloc(sizeof *s);

    s->space = space;
    space->users++;
    s->fd = -1;
    content_hash_begin(&s->hash);
    return s;
}

void spool_free(struct spool **spool)
{
    struct spool *s = *spool;

    *spool = NULL;
    if (s == NULL)
        return;
    spool_drop(s);
    spool_unuse(s->space);
    mem_free(s);
}

void spool_watch(struct spool *s, void (*ready)(void *arg), void *arg)
{
    s->ready = ready;
    s->arg = arg;
}

/* The disk is at the piece before: it has to stay in memory meanwhile. */
static void put(struct spool *s, struct span data)
{
    size_t size = s->size;

    while (size - s->len < data.len)
        size *= 2;
    if (size > s->size)
        spool_set_size(s, size);
    memcpy(s->data + s->len, data.at, data.len);
    s->len += data.len;
}

static bool add_to_file(struct spool *s, struct span data)
{
    while (data.len > 0) {
        if (s->size == 0)
            spool_set_size(s, piece_size(s));
        size_t room = s->work == NULL ? s->size - s->len : data.len;
        size_t n = data.len < room ? data.len : room;
        put(s, (struct span){ data.at, n });
        data.at += n;
        data.len -= n;
        if (s->work == NULL && s->len == s->size && !spool_write_piece(s))
            return false;
    }
    return true;
}

bool spool_add(struct spool *s, struct span data)
{
    if (s->failed)
        return false;
    content_hash_add(&s->hash, data);
    s->octets += data.len;
    if (!s->in_file) {
        if (grow(s, data.len)) {
            memcpy(s->data + s->len, data.at, data.len);
            s->len += data.len;
            return true;
        }
        s->in_file = true;
        if (s->len > 0 && !spool_write_piece(s))
            return false;
    }
    return add_to_file(s, data);
}

bool spool_behind(const struct spool *s)
{
    return s->work != NULL && (s->len >= SPOOL_PIECE || s->space->memory > s->space->memory_limit);
}

uint64_t spool_octets(const struct spool *s)
{
    return s->octets;
}

void spool_digest(struct spool *s, unsigned char out[CONTENT_DIGEST])
{
    content_hash_end(&s->hash, out);
}

const char *spool_memory(const struct spool *s)
{
    return s->in_file ? NULL : s->data != NULL ? s->data : "";
}

/* ------------------------------------------------------------------ read back */

enum spool_state spool_settle(struct spool *s)
{
    if (!s->failed && s->in_file && s->work == NULL && s->len > 0)
        spool_write_piece(s);
    if (!s->failed && s->in_file && s->work == NULL)
        spool_set_size(s, 0);
    return s->failed ? SPOOL_FAILED : s->work != NULL || s->wants ? SPOOL_WAIT : SPOOL_READY;
}

enum spool_state spool_fetch(struct spool *s, uint64_t offset, size_t size, struct span *out_r)
{
    enum spool_state state = spool_settle(s);
    uint64_t left = offset < s->octets ? s->octets - offset : 0;

    *out_r = SPAN_OF("");
    if (state != SPOOL_READY)
        return state;
    if (left < size)
        size = (size_t)left;
    if (size == 0)
        return SPOOL_READY;
    if (!s->in_file) {
        *out_r = (struct span){ s->data + offset, size };
        return SPOOL_READY;
    }
    if (s->piece == NULL || s->piece_at != offset || s->piece_len != size) {
        spool_let_go(s);
        s->piece_at = offset;
        s->piece_len = size;
        spool_want_piece(s);
        if (s->failed || s->work != NULL || s->wants)
            return s->failed ? SPOOL_FAILED : SPOOL_WAIT;
    }
    *out_r = (struct span){ s->piece, size };
    return SPOOL_READY;
}
