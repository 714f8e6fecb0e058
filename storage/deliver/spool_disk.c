/*
 * spool_disk.c - what spools hold in memory and have done with their files, one
 * piece of each after the other, how long they wait for it, and giving up.
 *
 * Where there is no thread for it it is done at once: the way is the same. Must
 * never call an owner from within its own call.
 */
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "storage/deliver/spool_impl.h"

enum {
    READS = 4,              /* at once: their memory is not in the bound */
    TICK_MS = 1000,
    SLOW_MS = 5000,         /* is told to the operator */
    PATIENCE_MS = 60000,
    END_S = 2,
};

struct work {
    struct disk_job job;        /* the first member */
    struct spool_space *space;
    struct spool *spool;        /* NULL: it is gone, or has given up */
    size_t size;                /* of its data */
    uint64_t octets;            /* DISK_CLOSE: what the file has of the space */
};

/* -------------------------------------------------------------- what it holds */

void spool_unuse(struct spool_space *space)
{
    if (--space->users > 0 || !space->over)
        return;
    ASSERT(space->memory == 0 && space->disk == 0);
    mem_free(space->dir);
    mem_free(space);
}

void spool_set_size(struct spool *s, size_t size)
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

void spool_let_go(struct spool *s)
{
    mem_free(s->piece);
    s->piece = NULL;
}

/* ----------------------------------------------------------------- who waits */

static void wait_begins(struct spool *s)
{
    struct spool_space *space = s->space;

    if (space->beside == NULL || s->waiting)
        return;
    s->waiting = true;
    s->since = loop_now(space->loop);
    s->next = NULL;
    s->prev = space->last;
    if (space->last != NULL)
        space->last->next = s;
    else
        space->first = s;
    space->last = s;
    if (!space->ticking)
        timer_set(space->tick, TICK_MS);
    space->ticking = true;
}

static void wait_ends(struct spool *s)
{
    struct spool_space *space = s->space;

    if (!s->waiting)
        return;
    s->waiting = false;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        space->first = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    else
        space->last = s->prev;
}

/* --------------------------------------------------------------------- work */

static void finished(struct disk_job *job);
static void take_result(struct work *w);
static void read_more(struct spool_space *space);

static struct work *work_new(struct spool_space *space, enum disk_what what, int fd)
{
    struct work *w = mem_zalloc(sizeof *w);

    w->space = space;
    w->job.work = (struct disk_work){ .what = what, .dir = space->dir, .fd = fd };
    w->job.done = finished;
    space->users++;
    return w;
}

static void give(struct work *w)
{
    if (w->space->beside != NULL) {
        disk_give(w->space->beside, &w->job);
        return;
    }
    disk_do(&w->job.work);
    take_result(w);
}

static void work_over(struct work *w)
{
    struct spool_space *space = w->space;

    mem_free(w->job.work.data);
    mem_free(w);
    spool_unuse(space);
}

/* The octets count until the disk has them back. */
static void close_file(struct spool_space *space, int fd, uint64_t octets)
{
    struct work *w;

    if (fd < 0) {
        space->disk -= octets;
        return;
    }
    w = work_new(space, DISK_CLOSE, fd);
    w->octets = octets;
    give(w);
}

/* A write or a read of a spool that does not want it any more: what it had taken goes back. */
static void unwanted(struct work *w)
{
    struct spool_space *space = w->space;

    if (w->job.work.what == DISK_READ)
        space->reads--;
    space->memory -= w->size;
    close_file(space, w->job.work.fd, w->octets);
    read_more(space);
    work_over(w);
}

/* Where it is being done just now, the answer comes later, and finds nobody. */
static void leave_work(struct spool *s)
{
    struct work *w = s->work;

    s->work = NULL;
    w->spool = NULL;
    w->octets = s->given;
    s->given = 0;
    s->fd = -1;
    if (disk_take_back(&w->job))
        unwanted(w);
}

/* Nothing is wanted of the disk any more: the file is closed, now or behind what is being done with it. */
static void leave_disk(struct spool *s)
{
    wait_ends(s);
    s->wants = false;
    if (s->work != NULL)
        leave_work(s);
    close_file(s->space, s->fd, s->given);
    s->fd = -1;
    s->given = 0;
}

/* ------------------------------------------------------------------ giving up */

void spool_drop(struct spool *s)
{
    spool_set_size(s, 0);
    spool_let_go(s);
    s->octets = 0;
    s->failed = true;
    leave_disk(s);
}

/* It has failed, and gives up all it has; false. */
static bool no_room(struct spool *s, const char *why)
{
    log_error(NULL, "could not write a message to %s: %s", s->space->dir, why);
    spool_drop(s);
    return false;
}

static void not_read(struct spool *s, const char *why)
{
    log_error(NULL, "could not read a message from %s: %s", s->space->dir, why);
    spool_drop(s);
}

/* ------------------------------------------------------------- what is over */

/* Of the spool's own work, which is over. */
static void take_result(struct work *w)
{
    const struct disk_work *done = &w->job.work;
    struct spool *s = w->spool;
    const char *why = done->error == 0 ? NULL : done->error == DISK_CUT ? "truncated file" : strerror(done->error);

    if (done->what == DISK_CLOSE) {
        w->space->disk -= w->octets;
        work_over(w);
        return;
    }
    if (s == NULL) {
        unwanted(w);
        return;
    }
    s->work = NULL;
    wait_ends(s);
    if (done->what == DISK_WRITE) {
        s->fd = done->fd;
        w->space->memory -= w->size;
        work_over(w);
        if (why != NULL)
            no_room(s, why);
        return;
    }
    w->space->reads--;
    s->piece = done->data;
    w->job.work.data = NULL;
    work_over(w);
    if (why != NULL)
        not_read(s, why);
}

bool spool_write_piece(struct spool *s)
{
    struct spool_space *space = s->space;
    struct work *w;

    if (s->len > space->disk_limit || space->disk > space->disk_limit - s->len)
        return no_room(s, "lmtp_spool_size is used up");
    w = work_new(space, DISK_WRITE, s->fd);
    w->job.work.data = s->data;
    w->job.work.len = s->len;
    w->job.work.offset = s->given;
    w->size = s->size;
    w->spool = s;
    space->disk += s->len;
    s->given += s->len;
    s->data = NULL;
    s->len = s->size = 0;
    s->work = w;
    wait_begins(s);
    give(w);
    return !s->failed;
}

static void read_piece(struct spool *s)
{
    struct work *w = work_new(s->space, DISK_READ, s->fd);

    s->wants = false;
    w->job.work.data = mem_alloc(s->piece_len);
    w->job.work.len = s->piece_len;
    w->job.work.offset = s->piece_at;
    w->spool = s;
    s->work = w;
    s->space->reads++;
    give(w);
}

void spool_want_piece(struct spool *s)
{
    s->wants = true;
    wait_begins(s);
    if (s->space->reads < READS)
        read_piece(s);
}

/* Reads that were put off, oldest first. */
static void read_more(struct spool_space *space)
{
    for (struct spool *s = space->first; s != NULL && space->reads < READS && !space->over; s = s->next)
        if (s->wants)
            read_piece(s);
}

/* The disk has time for the next piece of this one. */
static void write_more(struct spool *s)
{
    if (!s->failed && s->work == NULL && s->in_file && s->len >= SPOOL_PIECE_SHORT)
        spool_write_piece(s);
}

static void disk_is_well(struct spool_space *space)
{
    if (space->slow_since == 0)
        return;
    log_warning(NULL, "the disk of %s responds again after %llu s", space->dir,
                (unsigned long long)((loop_now(space->loop) - space->slow_since) / 1000));
    space->slow_since = 0;
}

static void finished(struct disk_job *job)
{
    struct work *w = (struct work *)job;
    struct spool_space *space = w->space;
    struct spool *s = w->spool;

    take_result(w);
    /* The space is there as long as answers come, but nobody wants to know any more. */
    if (space->over)
        return;
    disk_is_well(space);
    if (s != NULL)
        write_more(s);
    read_more(space);
    if (s != NULL && s->ready != NULL)
        s->ready(s->arg);
}

/* ----------------------------------------------------------------- patience */

static void give_up(struct spool *s)
{
    static const char why[] = "the disk has not responded for a minute";

    if (s->wants || s->work->job.work.what == DISK_READ)
        not_read(s, why);
    else
        no_room(s, why);
    if (s->ready != NULL)
        s->ready(s->arg);
}

static void look(void *arg)
{
    struct spool_space *space = arg;
    uint64_t now = loop_now(space->loop);

    space->ticking = false;
    if (space->first != NULL && space->slow_since == 0 && now - space->first->since > SLOW_MS) {
        space->slow_since = space->first->since;
        log_warning(NULL, "the disk of %s has not responded for %d s: messages that do not fit into memory wait",
                    space->dir, SLOW_MS / 1000);
    }
    while (space->first != NULL && now - space->first->since > PATIENCE_MS)
        give_up(space->first);
    if (space->first == NULL || space->ticking)
        return;
    space->ticking = true;
    timer_set(space->tick, TICK_MS);
}

void spool_space_beside(struct spool_space *space, struct loop *loop)
{
    space->beside = disk_new(loop);
    if (space->beside == NULL)
        return;
    space->loop = loop;
    space->tick = timer_new(loop, look, space);
}

void spool_disk_end(struct spool_space *space)
{
    if (space->tick != NULL)
        timer_free(&space->tick);
    disk_free(&space->beside, END_S);
}
