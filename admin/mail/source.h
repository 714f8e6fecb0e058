/*
 * source.h - where an import finds its messages: mbox files, Maildirs,
 * directories and files; or a server. Only looks and reads; changes nothing.
 *
 * What a file holds is there at once. A server says what it has, with UIDLs; the octets
 * of a message are fetched from it one after the other, when they are asked for.
 */
#ifndef POSTERN_ADMIN_SOURCE_H
#define POSTERN_ADMIN_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "admin/mail/hide.h"
#include "admin/mail/mbox.h"
#include "admin/mail/state.h"

enum source_format { SOURCE_AUTO, SOURCE_MBOX, SOURCE_MAILDIR, SOURCE_EML };

struct source;

/* A message, or something that cannot be taken for one. */
struct source_item {
    struct source *source;      /* that it is of */
    const char *path;           /* of its file, as it is, or the server; valid until the source is freed */
    unsigned number;            /* of the message in an mbox, or at the server; 0 elsewhere */
    const char *name;           /* both for people: quoted where it must be; valid until the next item */
    bool in_folder;             /* its file was found in a directory, was not named by the operator */
    const char *reject;         /* why it cannot be taken; NULL if it can */
    enum state_kind kind;       /* what the format says of it */
    /* At a server, until source_fetch(): -1, 0 and the octets that the server promises, more or less, and 0. */
    int fd;                     /* lent, until the next item */
    off_t at, end;
    int64_t received;           /* microseconds since 1970 */
    enum mbox_quoting quoting;
    const char *uidl;           /* what its server showed, as far as that is known (else NULL), */
    const char *uidl_file;      /* and where it says so; valid until the source is freed */
    size_t uidl_line;
    const struct hide_how *hide;    /* what its server hid of it; lent, until the next item; NULL: nothing */
};

/* Something that people should look at, in a line of an mbox: source_next() tells it before it returns. */
typedef void source_doubt(void *arg, const char *path, uint64_t line, const char *what);

struct source_how {
    enum source_format format;
    enum mbox_quoting quoting;
    bool quoting_given;         /* by the operator: else it is that of the server, where that is known */
    bool follow_links;          /* in folders; if false, see folder.h */
    bool any;                   /* take what does not look like mail, and take off no From_ line */
    /* That had the files: "dovecot", ... or "none"; NULL: the one whose list is there, for an mbox nobody. */
    const char *server;
    const char *uidl_format;    /* as that server has it; NULL for its default */
    const char *control;        /* directory of its lists, where these are elsewhere, or NULL */
    const char *doveconf;       /* a file with what `doveconf -n` printed (doveconf.h), or NULL */
    bool folders;               /* also those in a Maildir, without UIDLs */
    bool listed;                /* there is a list of UIDLs: whoever wrote others into an mbox does not matter */
    source_doubt *doubt;
    void *arg;
};

struct source_seen {
    uint64_t files;             /* those that were rejected too */
    uint64_t mboxes, separators;
    uint64_t sent_times;        /* messages whose time of arrival is that of their Date field, */
    uint64_t no_times;          /* or that of the import; of a server only */
    int64_t octets;
};

/* Why this is not possible, whatever the paths are (static text); *option_r: because of that option. NULL if it is. */
const char *source_how_fault(const struct source_how *how, const char **option_r);
/* Lists what the paths hold, in the order of the import. */
struct source *source_new(char *const *paths, int count, const struct source_how *how);
void source_free(struct source **source);
/* Something that must be said before anything is stored, as "path reason"; lent. NULL if there is nothing. */
const char *source_fault(const struct source *source);
/* Is the server known that had a part of it, so that items may have UIDLs? */
bool source_has_uidls(const struct source *source);
/* Folders whose messages are not among the items: how many, and the path of one; lent. */
size_t source_folders(const struct source *source);
const char *source_folder(const struct source *source, size_t i);
int64_t source_octets(const struct source *source);     /* of all files together */
struct source_seen source_seen(const struct source *source);    /* so far */
/* 1 and an item, 0 at the end, or -1: source_broken() says why. */
int source_next(struct source *source, struct source_item *item_r);
/*
 * Has the octets of the item, the last one that source_next() gave, at hand: fd, at, end and received
 * are what they say from then on. False: item->reject says why this one cannot be had, or
 * source_broken() why none can.
 */
bool source_fetch(struct source_item *item);
/* Why there is no going on, as "NAME reason"; lent. NULL while there is: files never break. */
const char *source_broken(const struct source *source);
/*
 * From the beginning again: the same files, as they are then; what was seen is counted anew. Whoever
 * reads twice would be told each doubt twice: source_quiet() says whether they are told.
 */
void source_quiet(struct source *source, bool quiet);
void source_again(struct source *source);

/*
 * Is the UIDL of an item certain before its octets are read, and are these dear? Then one
 * whose UIDL the mailbox knows is passed over.
 */
bool source_by_uidl(const struct source *source);
/*
 * Which items are going to be read. A source that fetches ahead asks once for each item, in order,
 * after source_next() gave the one before it or earlier; without it, all are. A hint: others may be read.
 */
typedef bool source_wanted(void *arg, const struct source_item *item);
void source_choose(struct source *source, source_wanted *wanted, void *arg);
/*
 * One word for where the messages come from, always the same for the same mailbox of the same
 * server; NULL for files.
 */
const char *source_label(const struct source *source);

/*
 * The octets of an item as they will be stored: unquoted, line ends made CRLF; fetched, where
 * they are not at hand. False with errno if they cannot be read, or the file has become shorter.
 */
typedef void source_out(void *arg, const char *at, size_t len);
bool source_read(const struct source_item *item, source_out *out, void *arg);

/* Why these first octets of a file are not a message; NULL if they may be one. */
const char *source_not_mail(const char *head, size_t len);

#endif
