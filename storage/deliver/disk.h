/*
 * disk.h - file operations outside of the event loop.
 *
 * A write to a file, a read, even the close of one that has no name any more
 * wait for the disk where the kernel has no memory left for what is written,
 * where the disk hangs, or is another machine's; who serves many cannot wait
 * with it. One thread does the work, in the order in which it was given, and
 * the loop hears of each job when it is done.
 */
#ifndef POSTERN_STORAGE_DISK_H
#define POSTERN_STORAGE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct disk;

enum disk_what { DISK_WRITE, DISK_READ, DISK_CLOSE };

/* A piece of work, and what became of it. */
struct disk_work {
    enum disk_what what;
    const char *dir;        /* DISK_WRITE: where a file without a name is made, if fd is -1 */
    int fd;                 /* -1 again where none could be made */
    char *data;
    size_t len;             /* all of it, or it has failed */
    uint64_t offset;
    int error;              /* errno; DISK_CUT; 0: it is done */
};
enum { DISK_CUT = -1 };     /* the file ends before what is to be read */

/* Does it here and now, and waits. */
void disk_do(struct disk_work *work);

struct disk_job {
    struct disk_work work;              /* its data and the fd are the thread's from disk_give() until done */
    /* from the loop, never from within a call here; the job is the caller's again */
    void (*done)(struct disk_job *job);
    struct disk *disk;
    struct disk_job *next;
};

/*
 * Starts the thread; before threads_confine() (thread.h). False: there is none, and so no
 * disk_new(). Once in a process.
 */
bool disk_start(void);

/* Tells this loop of what is done. NULL where there is no thread. */
struct disk *disk_new(struct loop *loop);
/*
 * Before the loop's end, with all its jobs done or not: waits so many seconds
 * for them, then calls done of those that are left with ETIMEDOUT, without an fd and
 * data: what the thread hangs on stays with it.
 */
void disk_free(struct disk **disk, unsigned seconds);

void disk_give(struct disk *disk, struct disk_job *job);
/* True: it was not begun and never will be, done is not called; the job is the caller's again. */
bool disk_take_back(struct disk_job *job);

#endif
