/*
 * spool.c - a message while it is being received.
 *
 * The file is opened with O_TMPFILE, so that it has never had a name and
 * vanishes with the process. It is not synced: what is acknowledged is in the
 * database. Writing to it may block the loop for a moment; it is the page
 * cache that is written to.
 */
#include "storage/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"

enum {
    FIRST_SIZE = 16384,
    FILE_BUFFER = 32768,    /* gathers small pieces: a message of dot lines comes in thousands of them */
};

struct spool_space {
    char *dir;
    uint64_t memory_limit, disk_limit;
    uint64_t memory, disk;
    size_t spools;
    bool over;              /* to be freed with the last of them */
};

struct spool {
    struct spool_space *space;
    crypto_generichash_state hash;
    char *data;             /* the message; once there is a file, what was not written yet */
    size_t len, size;
    int fd;                 /* -1: all is in memory */
    uint64_t written;
    bool failed;
};

struct spool_space *spool_space_new(const char *dir, uint64_t memory, uint64_t disk)
{
    struct spool_space *space = mem_zalloc(sizeof *space);

    space->dir = mem_str(dir);
    space->memory_limit = memory;
    space->disk_limit = disk;
    return space;
}

static void space_free(struct spool_space *space)
{
    ASSERT(space->memory == 0 && space->disk == 0);
    mem_free(space->dir);
    mem_free(space);
}

void spool_space_free(struct spool_space **space)
{
    if (*space != NULL && (*space)->spools > 0)
        (*space)->over = true;
    else if (*space != NULL)
        space_free(*space);
    *space = NULL;
}

uint64_t spool_space_memory(const struct spool_space *space)
{
    return space->memory;
}

uint64_t spool_space_disk(const struct spool_space *space)
{
    return space->disk;
}

/* size may be 0: the memory is given back. */
static void set_size(struct spool *s, size_t size)
{
    s->space->memory = s->space->memory - s->size + size;
    s->size = size;
    if (size > 0) {
        s->data = mem_resize(s->data, size, 1);
    } else {
        mem_free(s->data);
        s->data = NULL;
        s->len = 0;
    }
}

struct spool *spool_new(struct spool_space *space)
{
    struct spool *s = mem_zalloc(sizeof *s);

    s->space = space;
    space->spools++;
    s->fd = -1;
    crypto_generichash_init(&s->hash, NULL, 0, SPOOL_DIGEST);
    return s;
}

void spool_drop(struct spool *s)
{
    set_size(s, 0);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->space->disk -= s->written;
    s->written = 0;
    s->failed = true;
}

void spool_free(struct spool **spool)
{
    struct spool *s = *spool;

    *spool = NULL;
    if (s == NULL)
        return;
    spool_drop(s);
    if (--s->space->spools == 0 && s->space->over)
        space_free(s->space);
    mem_free(s);
}

static bool no_room(struct spool *s, const char *why)
{
    log_error(NULL, "no room for a message in %s: %s", s->space->dir, why);
    spool_drop(s);
    return false;
}

static bool flush(struct spool *s)
{
    size_t done = 0;

    if (s->len > s->space->disk_limit || s->space->disk > s->space->disk_limit - s->len)
        return no_room(s, "lmtp_spool_size is used up");
    while (done < s->len) {
        ssize_t n = write(s->fd, s->data + done, s->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return no_room(s, n < 0 ? strerror(errno) : "short write");
        done += (size_t)n;
        s->written += (uint64_t)n;
        s->space->disk += (uint64_t)n;
    }
    s->len = 0;
    return true;
}

/* Where the file system has no O_TMPFILE, a name for a moment. */
static int open_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        size_t size = strlen(dir) + sizeof "/spool.XXXXXX";
        char *name = mem_alloc(size);
        snprintf(name, size, "%s/spool.XXXXXX", dir);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
        mem_free(name);
    }
    return fd;
}

static bool move_to_file(struct spool *s)
{
    s->fd = open_file(s->space->dir);
    if (s->fd < 0)
        return no_room(s, strerror(errno));
    if (!flush(s))
        return false;
    set_size(s, FILE_BUFFER);
    return true;
}

/* Room for more in memory: 1; 0 it has to go to the file. */
static bool grow(struct spool *s, size_t more)
{
    size_t size = s->size == 0 ? FIRST_SIZE : s->size;

    while (size - s->len < more && size < SPOOL_MEMORY)
        size *= 2;
    if (size - s->len < more || s->space->memory - s->size + size > s->space->memory_limit)
        return false;
    if (size > s->size)
        set_size(s, size);
    return true;
}

bool spool_add(struct spool *s, struct span data)
{
    if (s->failed)
        return false;
    crypto_generichash_update(&s->hash, (const unsigned char *)data.at, data.len);
    if (s->fd < 0) {
        if (grow(s, data.len)) {
            memcpy(s->data + s->len, data.at, data.len);
            s->len += data.len;
            return true;
        }
        if (!move_to_file(s))
            return false;
    }
    while (data.len > 0) {
        size_t n = data.len < s->size - s->len ? data.len : s->size - s->len;
        memcpy(s->data + s->len, data.at, n);
        s->len += n;
        data.at += n;
        data.len -= n;
        if (s->len == s->size && !flush(s))
            return false;
    }
    return true;
}

uint64_t spool_octets(const struct spool *s)
{
    return s->written + s->len;
}

void spool_digest(struct spool *s, unsigned char out[SPOOL_DIGEST])
{
    crypto_generichash_final(&s->hash, out, SPOOL_DIGEST);
}

const char *spool_memory(const struct spool *s)
{
    return s->fd >= 0 ? NULL : s->data != NULL ? s->data : "";
}

bool spool_read(struct spool *s, uint64_t offset, char *out, size_t size, size_t *len_r)
{
    *len_r = 0;
    if (s->failed)
        return false;
    if (s->fd >= 0 && s->len > 0 && !flush(s))
        return false;
    if (offset >= spool_octets(s))
        return true;
    if (spool_octets(s) - offset < size)
        size = (size_t)(spool_octets(s) - offset);
    if (s->fd < 0) {
        memcpy(out, s->data + offset, size);
        *len_r = size;
        return true;
    }
    while (*len_r < size) {
        ssize_t n = pread(s->fd, out + *len_r, size - *len_r, (off_t)(offset + *len_r));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            log_error(NULL, "could not read a message back from %s: %s", s->space->dir, n < 0 ? strerror(errno) : "it is cut");
            return false;
        }
        *len_r += (size_t)n;
    }
    return true;
}
