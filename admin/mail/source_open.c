/*
 * source_open.c - opening the files that were found, and where links may lead.
 *
 * Must never open what is not theirs whose folder it is.
 */
#include "admin/mail/source_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * With --follow-links, and in paths that the operator has named, symbolic links are
 * followed, as spools are made of them; but only those of root, or of the owner of the
 * target, or in a path that was named, of the operator. An operator who imports
 * somebody's folder may read more than that person, who would find the files of others
 * among their mail. Without the option see folder.h.
 */
bool source_leads_astray(const struct stat *link, const struct stat *target)
{
    return S_ISLNK(link->st_mode) && link->st_uid != 0 && link->st_uid != target->st_uid;
}

const char source_not_theirs[] = "is a symbolic link to a file of another owner, or lies behind one";

/* Below zero: errno, or it leads astray (*reject_r), where it was not a link when we looked too. */
static int open_named(const struct file *f, struct stat *st, const char **reject_r)
{
    struct stat link;
    bool is_link = lstat(f->path, &link) == 0 && S_ISLNK(link.st_mode);
    /* O_NONBLOCK: should it have become a FIFO since we looked. */
    int fd = open(f->path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | (f->in_folder && !is_link ? O_NOFOLLOW : 0));

    if (fd < 0 || fstat(fd, st) != 0)
        *reject_r = errno == EACCES ? "permission denied" : errno == ENOENT ? "has gone" : "cannot be opened";
    else if (is_link && (f->in_folder || link.st_uid != geteuid()) && source_leads_astray(&link, st))
        *reject_r = source_not_theirs;
    return fd;
}

/* From its folder, which stays open until a file of another folder is opened. */
int source_open_file(struct source *s, const struct file *f, struct stat *st, const char **reject_r)
{
    if (f->folder == 0)
        return open_named(f, st, reject_r);
    struct folder *folder = &s->folders[f->folder - 1];
    if (s->open_folder != 0 && s->open_folder != f->folder)
        folder_close(&s->folders[s->open_folder - 1]);
    s->open_folder = f->folder;
    *reject_r = folder_open(folder);
    return *reject_r == NULL ? folder_file(folder, source_base_name(f->path), st, reject_r) : -1;
}
