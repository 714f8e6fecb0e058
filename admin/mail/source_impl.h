/*
 * source_impl.h - what the files of source.h share, and what a kind of source has to do.
 */
#ifndef POSTERN_ADMIN_SOURCE_IMPL_H
#define POSTERN_ADMIN_SOURCE_IMPL_H

#include <string.h>

#include "admin/mail/folder.h"
#include "admin/mail/source.h"
#include "daemon/base/buf.h"

struct file {
    char *path;
    const char *reject;         /* static text */
    bool in_maildir, in_folder;
    size_t folder;              /* index in folders, from 1; 0: reached by its path */
    uint64_t rank;              /* in the order of its server; UINT64_MAX if that is not known */
    uint64_t order;             /* Maildir: the time in its name */
    char *uidl;                 /* as in struct source_item */
    const char *uidl_file;
    size_t uidl_line;
    int64_t mtime;
    int64_t octets;
};

/*
 * Files (source.c), or a server: its struct has a struct source as its first member, and
 * its own "new" function fills in `kind` and `octets`. What is NULL is not needed.
 */
struct source_kind {
    int (*next)(struct source *s, struct source_item *item_r);
    bool (*fetch)(struct source_item *item);
    void (*again)(struct source *s);
    const char *(*label)(const struct source *s);
    bool by_uidl;
    void (*free)(struct source *s);     /* the struct itself, too */
};

struct source {
    const struct source_kind *kind;
    source_wanted *wanted;      /* source_choose() */
    void *wanted_arg;
    struct buf broken;          /* source_broken(), if it is not empty */
    /* Of all kinds: quiet, octets, seen. The others are of files. */
    struct file *files;
    size_t count, room, next;
    bool quiet;                 /* tell no doubts */
    int64_t octets;
    struct source_how how;
    struct source_seen seen;
    struct folder *folders;
    size_t folder_count, folder_room;
    size_t open_folder;         /* the one that is being read, from 1; 0: none */
    int fd;
    struct mbox_scan *scan;     /* of the mbox that is being read */
    uint64_t separators;        /* of those before it */
    unsigned number;            /* of its message */
    struct buf name;
    struct buf fault;           /* source_fault(), if it is not empty */
    char **lists;               /* paths of lists of UIDLs that were read */
    size_t list_count;
    char **inner;               /* paths of folders in Maildirs */
    size_t inner_count;
};

static inline const char *source_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* source_list.c: all files that a path leads to, in the order of the import. */
void source_list(struct source *s, const char *path);
/* source_dovecot.c: order and UIDLs of the files from `first` on, those of a Maildir, if Dovecot had it. */
void source_dovecot(struct source *s, const char *maildir, size_t first);
bool source_leads_astray(const struct stat *link, const struct stat *target);
extern const char source_not_theirs[];

#endif
