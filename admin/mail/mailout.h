/*
 * mailout.h - where an export writes: an mbox, a Maildir with Dovecot's list of UIDLs, or a
 * file for each message; such that an import of it gives the same messages in the same order.
 *
 * Nothing is overwritten, and no link is followed. Whoever is told false has had the reason
 * printed.
 */
#ifndef POSTERN_ADMIN_MAILOUT_H
#define POSTERN_ADMIN_MAILOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "admin/mail/mailread.h"

enum mailout_format { MAILOUT_MBOX, MAILOUT_MAILDIR, MAILOUT_EML, MAILOUT_FORMATS };
extern const char *const mailout_names[MAILOUT_FORMATS];

struct mailout_to {
    enum mailout_format format;
    const char *path;           /* as it is shown */
    int at;                     /* a directory, or AT_FDCWD: it is created here, */
    const char *base;           /* under this name. All are lent until mailout_close(). */
    bool sync;                  /* a Maildir: bring up to date what an earlier export has written */
    bool later;                 /* whoever writes many has them written to the disk at the end: mailout_sync() */
    bool x_uidl;                /* an mbox: a field X-UIDL in front of each message */
    FILE *uidls;                /* "NAME<tab>UIDL", of an mbox the UIDL alone; NULL: not wanted */
    const char *uidvalidity;    /* a Maildir: of the mailbox, twelve hexadecimal digits, */
    int64_t next_uid;           /* and the uid that its next message gets */
};

struct mailout_done {
    uint64_t messages, octets;  /* written */
    uint64_t there, removed;    /* with sync: what was there, and what has gone from the mailbox since */
};

struct mailout;
struct mailout *mailout_open(const struct mailout_to *to);
/* Messages come in rising order of uid. Has an earlier export written this one? Then mailout_keep() has its turn. */
bool mailout_has(struct mailout *out, const struct mail *mail);
bool mailout_keep(struct mailout *out, const struct mail *mail);
/* For mail_read(), with the struct mailout. */
extern const struct mail_sink mailout_sink;
/*
 * complete: all messages were written; then what was written is on the disk, but for `later`. False also
 * where it is not complete.
 */
bool mailout_close(struct mailout **out, bool complete, struct mailout_done *done_r);

/* All that was written below this directory is on the disk. False with errno. */
bool mailout_sync(int dir);

#endif
