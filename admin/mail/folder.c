/*
 * folder.c - files reached from a folder's descriptor (see folder.h).
 *
 * Must never follow a link below the folder that the operator has named, nor read what
 * its owner could not have read. Each name is a single component, opened with
 * O_NOFOLLOW from the descriptor of its directory, which is as strict as openat2() with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, and works on any kernel.
 */
#include "admin/mail/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "daemon/base/mem.h"

static const char a_link[] = "is a symbolic link: see --follow-links";
static const char not_theirs[] = "does not belong to the owner of its directory: see --follow-links";

struct folder folder_of(const char *path, const char *inner)
{
    return (struct folder){ .path = mem_str(path), .inner = inner != NULL ? mem_str(inner) : NULL, .fd = -1 };
}

/* Root takes the rights of the owner, and returns to its own. Other users keep their own. */
static void become(const struct folder *f, bool owner)
{
    if (geteuid() != 0 || f->owner == 0)
        return;
    if (owner)
        setfsgid(f->group);
    setfsuid(owner ? f->owner : 0);
    if (!owner)
        setfsgid(getegid());
}

static const char *why_not(int error)
{
    return error == EACCES ? "permission denied" : error == ENOENT ? "has gone" : "cannot be opened";
}

/* Opens a directory in the folder that is open, and closes that one. */
static const char *open_component(struct folder *f, const char *name)
{
    int outer = f->fd;
    struct stat st;

    become(f, true);
    f->fd = openat(outer, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int error = errno;
    become(f, false);
    if (f->fd < 0) {
        bool is_link = fstatat(outer, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);

        close(outer);
        return is_link ? a_link : why_not(error);
    }
    close(outer);
    return fstat(f->fd, &st) == 0 && st.st_uid == f->owner ? NULL : not_theirs;
}

static const char *open_inner(struct folder *f)
{
    char *path = mem_str(f->inner), *rest = path, *name;
    const char *why = NULL;

    while (why == NULL && (name = strsep(&rest, "/")) != NULL)
        why = open_component(f, name);
    mem_free(path);
    return why;
}

const char *folder_open(struct folder *f)
{
    const char *why = NULL;
    struct stat st;

    if (f->fd >= 0)
        return NULL;
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return why_not(errno);
    if (fstat(f->fd, &st) != 0)
        why = "cannot be examined";
    else if (f->known && (st.st_dev != f->dev || st.st_ino != f->ino || st.st_uid != f->owner))
        why = "is in a directory that was replaced";
    if (why == NULL) {
        f->known = true;
        f->dev = st.st_dev;
        f->ino = st.st_ino;
        f->owner = st.st_uid;
        f->group = st.st_gid;
        if (f->inner != NULL)
            why = open_inner(f);
    }
    if (why != NULL)
        folder_close(f);
    return why;
}

void folder_close(struct folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void folder_free(struct folder *f)
{
    folder_close(f);
    mem_free(f->path);
    mem_free(f->inner);
    f->path = f->inner = NULL;
}

static const char *judge(const struct folder *f, const struct stat *st)
{
    if (S_ISLNK(st->st_mode))
        return a_link;
    if (S_ISDIR(st->st_mode))
        return "is a directory";
    if (!S_ISREG(st->st_mode))
        return "is not a regular file";
    if (st->st_uid != f->owner)
        return not_theirs;
    return st->st_nlink == 1 ? NULL : "has more than one link: see --follow-links";
}

const char *folder_look(const struct folder *f, const char *name, struct stat *st)
{
    int rc, error;

    become(f, true);
    rc = fstatat(f->fd, name, st, AT_SYMLINK_NOFOLLOW);
    error = errno;
    become(f, false);
    return rc == 0 ? judge(f, st) : why_not(error);
}

int folder_file(const struct folder *f, const char *name, struct stat *st, const char **reject_r)
{
    int fd, error;

    become(f, true);
    /* O_NONBLOCK in case it has become a FIFO since. */
    fd = openat(f->fd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    error = errno;
    become(f, false);
    if (fd < 0)
        *reject_r = error == ELOOP ? a_link : why_not(error);
    else
        *reject_r = fstat(fd, st) == 0 ? judge(f, st) : "cannot be examined";
    return fd;
}
