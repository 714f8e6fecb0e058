/*
 * source_impl.h - what the files of source.h share, and what a kind of source has to do.
 */
#ifndef POSTERN_ADMIN_SOURCE_IMPL_H
#define POSTERN_ADMIN_SOURCE_IMPL_H

#include <string.h>

#include "admin/mail/doveconf.h"
#include "admin/mail/folder.h"
#include "admin/mail/mbox_server.h"
#include "admin/mail/source.h"
#include "daemon/base/buf.h"

struct file {
    char *path;
    const char *reject;         /* static text */
    bool in_folder;
    bool alone;                 /* it is one message, whatever it begins with */
    bool is_dir;
    bool known;                 /* its server has a record of it */
    enum state_kind kind;       /* as in struct source_item */
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
    const struct mbox_server *server;   /* that had the mboxes; NULL: not known */
    struct mbox_seen of_server; /* of the mbox that is being read */
    char **uidls;               /* of the messages in mboxes, those that have one, in order */
    size_t uidl_count, uidl_room, uidl_next;
    struct buf name;
    struct buf fault;           /* source_fault(), if it is not empty */
    char **lists;               /* paths of lists of UIDLs that were read */
    size_t list_count;
    char **inner;               /* paths of folders in Maildirs, and in directories of Cyrus */
    size_t inner_count;
    struct doveconf dovecot;    /* as it was configured */
};

/* A mailbox in files: the path that was named, or a folder in it. */
struct source_place {
    const char *path;
    const char *inner;          /* NULL, or ".Sent": it has no UIDLs, as POP3 never showed it */
    bool maildir;
    size_t first;               /* its files are those from this one on */
};

/* A mail server that may have had it, and left a list of what it knows. */
struct source_server {
    const char *name;           /* for --server */
    const char *list;           /* the name of the list; NULL: it keeps none */
    const char *trace;          /* another file by which it is known, whose list may be elsewhere; or NULL */
    bool maildir;               /* it has Maildirs, */
    bool (*is_own)(const char *name);   /* or else directories, with files of its own in them */
    const char *(*format_fault)(const char *format);    /* NULL: its UIDLs have no format */
    /* Gives the files of the place order, kinds and UIDLs, and takes away what are no messages. */
    void (*read)(struct source *s, const struct source_place *place);
};

static inline const char *source_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* A name as of a file that holds one message: "x.eml", and "12" of MH. */
static inline bool source_names_one(const char *path)
{
    const char *name = source_base_name(path);
    size_t len = strlen(name), digits = strspn(name, "0123456789");

    return (len > 4 && strcasecmp(name + len - 4, ".eml") == 0) || (digits > 0 && digits == len);
}

/* source_list.c: all files that a path leads to, in the order of the import. */
void source_list(struct source *s, const char *path);
/* source_mbox.c: what the server of an mbox showed. Which one that is; a file that the operator has named; */
void source_mbox_server(struct source *s);
void source_mbox_named(struct source *s, const char *path);
/* why the UIDLs of an mbox cannot be had as the operator says: static text, or NULL; */
const char *source_mbox_fault(const struct source *s, int fd);
/* and the mbox that is being read, message after message. */
void source_mbox_begin(struct source *s);
void source_mbox_item(struct source *s, struct source_item *item, const struct mbox_message *message);
void source_mbox_free(struct source *s);
/* source_dbox.c: is a directory one of Dovecot's mdbox or sdbox? Then that is the fault of the source. */
bool source_dbox_named(struct source *s, const char *dir);
/* The same of a file, by how it begins; it is rejected for this reason. */
bool source_is_dbox(const char *head, size_t len);
extern const char source_dbox_file[];

/* source_open.c: -1, or a descriptor that the caller closes, also if *reject_r says why not to read it (else NULL). */
int source_open_file(struct source *s, const struct file *f, struct stat *st_r, const char **reject_r);
bool source_leads_astray(const struct stat *link, const struct stat *target);
extern const char source_not_theirs[];

/* source_list.c: all files that a path leads to, in the order of the import. */
void source_list(struct source *s, const char *path);

/* source_folders.c: notes the folders in a Maildir; */
void source_find_folders(struct source *s, const char *path);
void source_note_folder(struct source *s, char *path);  /* one, whose path is the source's from then on; */
void source_sort_folders(struct source *s, size_t first);       /* those from `first` on; */
void source_forget_folders(struct source *s, size_t first);     /* these are imported */

/* source_server.c: the server that had the place; NULL if none is known, and after a fault. */
const struct source_server *source_server(struct source *s, const struct source_place *place);
/* Says why nothing can be imported, as "path reason". The first fault stays. */
void source_failed(struct source *s, const char *path, const char *why);
/*
 * A list of a server, from the place or from --control. -1: it is not there, or there is a fault. The path is
 * noted as that of a list with UIDLs, and lent until the source is freed.
 */
int source_open_list(struct source *s, const struct source_place *place, const char *name, const char **path_r);
/* The files of a place, to be found by their names without flags. */
struct source_names {
    struct file **sorted;
    size_t count;
};
struct source_names source_names_of(struct source *s, const struct source_place *place);
void source_names_free(struct source_names *names);
struct file *source_named(const struct source_names *names, struct span base);
/* The file gets this UIDL, which is emptied, unless the place is a folder. False: it has one already. */
bool source_give(const struct source_place *place, struct file *f, struct buf *uidl, const char *list, size_t line);
/* A line of a list, or of a folder's, is wrong. */
void source_doubt_in(struct source *s, const char *path, size_t line, const char *what);

/* source_dovecot.c: reads --doveconf, if it is given. */
void source_configure(struct source *s);

/* What each of them gives. */
void source_dovecot(struct source *s, const struct source_place *place);
void source_courier(struct source *s, const struct source_place *place);
void source_cyrus(struct source *s, const struct source_place *place);
bool source_cyrus_own(const char *name);

#endif
