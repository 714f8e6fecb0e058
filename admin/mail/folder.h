/*
 * folder.h - the files of a folder that somebody else may own.
 *
 * The owner of a folder may put links in it, and may change it while it is read. An
 * operator who imports it may read more files than the owner, who would then find the
 * files of others among their mail. So only regular files of the owner of the folder,
 * with a single link, reached from the folder's descriptor without a symbolic link,
 * are imported; and root reads them with the rights of the owner.
 */
#ifndef POSTERN_ADMIN_FOLDER_H
#define POSTERN_ADMIN_FOLDER_H

#include <stdbool.h>
#include <sys/stat.h>

struct folder {
    char *path;                 /* as the operator has named it: it may contain links */
    char *inner;                /* a path in it, such as "new" or ".Sent/cur" of a Maildir; NULL: the folder itself */
    int fd;                     /* -1: not open */
    bool known;                 /* are the following set? */
    dev_t dev;
    ino_t ino;
    uid_t owner;                /* of the folder that was named */
    gid_t group;
};

/* Both are copied. Not open. */
struct folder folder_of(const char *path, const char *inner);
/* Opens it, if it is not open. NULL, or why not (static text); also if it is not the same folder as the first time. */
const char *folder_open(struct folder *f);
void folder_close(struct folder *f);
/* Closes it too. */
void folder_free(struct folder *f);

/*
 * NULL and *st_r, or why the file cannot be imported (static text). The name has no slash; the folder
 * is open.
 */
const char *folder_look(const struct folder *f, const char *name, struct stat *st_r);
/* Returns a descriptor or -1. The caller closes it, also if *reject_r says why it cannot be imported (else NULL). */
int folder_file(const struct folder *f, const char *name, struct stat *st_r, const char **reject_r);

#endif
