/*
 * outdir.c - a directory that we write into (see outdir.h).
 *
 * Must never follow a symbolic link to the directory, nor write to one of another user.
 */
#include "admin/mail/outdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_empty(int fd)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    struct dirent *entry;
    bool empty = d != NULL;

    while (empty && (entry = readdir(d)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (d != NULL)
        closedir(d);
    else if (own >= 0)
        close(own);
    return empty;
}

/* NULL if only we write there. */
static const char *judge(int fd, bool empty)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (st.st_uid != geteuid())
        return "it belongs to another user";
    if ((st.st_mode & S_IWOTH) != 0)
        return "all users can write to it";
    return !empty || is_empty(fd) ? NULL : "it exists and is not an empty directory";
}

static int open_dir(int at, const char *path, bool may_exist, bool empty, const char **why_r)
{
    int fd;

    *why_r = NULL;
    if (mkdirat(at, path, 0700) != 0 && !(errno == EEXIST && may_exist)) {
        *why_r = strerror(errno);
        return -1;
    }
    fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        *why_r = judge(fd, empty);
    else if (errno == ENOTDIR || errno == ELOOP)
        *why_r = empty ? "it exists and is not an empty directory" : "it exists and is not a directory";
    else
        *why_r = strerror(errno);
    if (*why_r == NULL)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int outdir_open(int at, const char *path, bool may_exist, const char **why_r)
{
    return open_dir(at, path, may_exist, true, why_r);
}

int outdir_again(int at, const char *path, const char **why_r)
{
    return open_dir(at, path, true, false, why_r);
}
