/*
 * disk.c - the thread that waits for disks, and the queue in front of it.
 *
 * The thread touches nothing of the rest of the process but the data of the job
 * that it is at; it takes no memory. The lock is never held while a file is
 * worked on.
 */
#include "storage/deliver/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/thread.h"
#include "daemon/net/loop.h"

struct job_list {
    struct disk_job *first, *last;
};

struct disk {
    struct watch *watch;
    int wake;               /* an eventfd: something is done */
    struct job_list done;   /* under the lock */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t given = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;
static struct job_list queue;
static struct disk_job *running;    /* NULL too where nobody wants the end of what the thread is at */
static bool started;

/* ---------------------------------------------------------------- the work */

/* Where the file system has no O_TMPFILE, a name for a moment. */
static int open_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        char name[PATH_MAX];
        if (snprintf(name, sizeof name, "%s/spool.XXXXXX", dir) >= (int)sizeof name) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    return fd;
}

static ssize_t some(const struct disk_work *w, size_t done)
{
    off_t at = (off_t)(w->offset + done);

    return w->what == DISK_WRITE ? pwrite(w->fd, w->data + done, w->len - done, at)
                                 : pread(w->fd, w->data + done, w->len - done, at);
}

static int all(const struct disk_work *w)
{
    for (size_t done = 0; done < w->len;) {
        ssize_t n = some(w, done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return w->what == DISK_WRITE ? EIO : DISK_CUT;
        done += (size_t)n;
    }
    return 0;
}

void disk_do(struct disk_work *w)
{
    w->error = 0;
    if (w->what == DISK_CLOSE) {
        close(w->fd);
        w->fd = -1;
        return;
    }
    if (w->fd < 0 && w->what == DISK_WRITE)
        w->fd = open_file(w->dir);
    w->error = w->fd < 0 ? errno : all(w);
}

/* -------------------------------------------------------------- the thread */

static void append(struct job_list *list, struct disk_job *job)
{
    job->next = NULL;
    if (list->first == NULL)
        list->first = job;
    else
        list->last->next = job;
    list->last = job;
}

static struct disk_job *take_first(struct job_list *list)
{
    struct disk_job *job = list->first;

    if (job != NULL)
        list->first = job->next;
    return job;
}

/* With the lock. */
static void tell(struct disk_job *job)
{
    const uint64_t one = 1;

    if (job->disk->done.first == NULL)
        (void)!write(job->disk->wake, &one, sizeof one);
    append(&job->disk->done, job);
}

/* Nobody waits for it any more. */
static void throw_away(struct disk_work *w)
{
    if (w->fd >= 0)
        close(w->fd);
    mem_free(w->data);
}

static void run(void *arg)
{
    char dir[PATH_MAX];
    (void)arg;

    pthread_mutex_lock(&lock);
    for (;;) {
        while (queue.first == NULL)
            pthread_cond_wait(&given, &lock);
        running = take_first(&queue);
        struct disk_work work = running->work;
        snprintf(dir, sizeof dir, "%s", work.dir != NULL ? work.dir : "");
        work.dir = dir;
        pthread_mutex_unlock(&lock);
        disk_do(&work);
        pthread_mutex_lock(&lock);
        if (running != NULL) {
            running->work.fd = work.fd;
            running->work.error = work.error;
            tell(running);
            running = NULL;
        } else {
            throw_away(&work);
        }
        pthread_cond_broadcast(&finished);
    }
}

bool disk_start(void)
{
    if (!started)
        started = thread_start(run, NULL);
    return started;
}

/* ---------------------------------------------------------------- the loop */

static void tell_all(struct disk *d)
{
    struct job_list done;
    struct disk_job *job;

    pthread_mutex_lock(&lock);
    done = d->done;
    d->done.first = NULL;
    pthread_mutex_unlock(&lock);
    while ((job = take_first(&done)) != NULL)
        job->done(job);
}

static void awake(void *arg, int fd, unsigned events)
{
    uint64_t count;
    (void)events;

    (void)!read(fd, &count, sizeof count);
    tell_all(arg);
}

struct disk *disk_new(struct loop *loop)
{
    struct disk *d;
    int wake = started ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;

    if (wake < 0)
        return NULL;
    d = mem_zalloc(sizeof *d);
    d->wake = wake;
    d->watch = watch_new(loop, wake, awake, d);
    watch_set(d->watch, LOOP_READ);
    return d;
}

void disk_give(struct disk *d, struct disk_job *job)
{
    job->disk = d;
    pthread_mutex_lock(&lock);
    append(&queue, job);
    pthread_cond_signal(&given);
    pthread_mutex_unlock(&lock);
}

/* With the lock. Takes those of this disk, or the one job, out of the queue. */
static struct job_list pick(const struct disk *d, const struct disk_job *one)
{
    struct job_list before = queue, picked = { NULL, NULL };
    struct disk_job *job;

    queue.first = NULL;
    while ((job = take_first(&before)) != NULL)
        append(job->disk == d || job == one ? &picked : &queue, job);
    return picked;
}

bool disk_take_back(struct disk_job *job)
{
    pthread_mutex_lock(&lock);
    bool taken = pick(NULL, job).first != NULL;
    pthread_mutex_unlock(&lock);
    return taken;
}

/* With the lock. */
static bool is_busy(const struct disk *d)
{
    bool busy = running != NULL && running->disk == d;

    for (const struct disk_job *job = queue.first; job != NULL; job = job->next)
        busy = busy || job->disk == d;
    return busy;
}

static void await(const struct disk *d, unsigned seconds)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    while (is_busy(d) && pthread_cond_timedwait(&finished, &lock, &until) == 0)
        continue;
}

/* Its fd and data are the thread's, or gone. */
static void given_up(struct disk_job *job)
{
    job->work.fd = -1;
    job->work.data = NULL;
    job->work.error = ETIMEDOUT;
    job->done(job);
}

void disk_free(struct disk **disk, unsigned seconds)
{
    struct disk *d = *disk;
    struct job_list left;
    struct disk_job *job, *hangs = NULL;

    *disk = NULL;
    if (d == NULL)
        return;
    pthread_mutex_lock(&lock);
    await(d, seconds);
    left = pick(d, NULL);
    if (running != NULL && running->disk == d) {
        hangs = running;
        running = NULL;
    }
    pthread_mutex_unlock(&lock);
    tell_all(d);
    watch_free(&d->watch);
    close(d->wake);
    mem_free(d);
    while ((job = take_first(&left)) != NULL) {
        throw_away(&job->work);
        given_up(job);
    }
    if (hangs != NULL)
        given_up(hangs);
}
