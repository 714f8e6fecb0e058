/*
 * mailout_impl.h - what the formats of mailout.h share.
 */
#ifndef POSTERN_ADMIN_MAILOUT_IMPL_H
#define POSTERN_ADMIN_MAILOUT_IMPL_H

#include "admin/mail/mailout.h"
#include "admin/mail/mbox.h"

struct maildir_there;           /* mailout_maildir.c */

struct mailout {
    struct mailout_to to;
    struct mailout_done done;
    int dir;                    /* descriptor of the directory, or -1 */
    FILE *out;                  /* the mbox, or the file of this message */
    char *name;                 /* of the file of this message, relative to the directory; NULL: none is open */
    bool cr;                    /* a CR whose LF may follow: both are one line end */
    struct mbox_filter filter;  /* mbox */
    struct maildir_there *there;
};

struct mailout_how {
    bool (*open)(struct mailout *o);
    bool (*has)(struct mailout *o, const struct mail *mail);    /* NULL: never */
    void (*keep)(struct mailout *o, const struct mail *mail);
    bool (*begin)(struct mailout *o, const struct mail *mail);
    bool (*data)(struct mailout *o, struct span octets);
    bool (*end)(struct mailout *o, const struct mail *mail);
    bool (*close)(struct mailout *o, bool complete);            /* also after open() has failed */
};
extern const struct mailout_how mailout_mbox, mailout_maildir, mailout_eml;

/* "could not WHAT NAME: REASON", the reason being errno; false. */
bool mailout_failed(const struct mailout *o, const char *what);
/* CRLF as LF, the line end of files here. A CR that stands alone stays. */
bool mailout_lf(struct mailout *o, struct span octets);
bool mailout_lf_end(struct mailout *o);

/* A new file in the directory; it becomes o->out. */
bool mailout_file(struct mailout *o, int at, const char *name);
/* It is complete: gets the time of arrival, and is closed. *size_r octets. */
bool mailout_file_end(struct mailout *o, const struct mail *mail, int64_t *size_r);
/* A line for --uidls. */
void mailout_list(struct mailout *o, const char *name, const struct mail *mail);

#endif
