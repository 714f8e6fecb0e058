/*
 * here.h - the messages that a mailbox has, as one side of a comparison (compare.h).
 */
#ifndef POSTERN_ADMIN_HERE_H
#define POSTERN_ADMIN_HERE_H

#include <libpq-fe.h>

#include "admin/ctl.h"
#include "admin/mail/compare.h"
#include "daemon/base/mailbox_ref.h"

/* side.mails[i] is row i. */
struct here {
    struct mailbox_ref mailbox;
    PGresult *rows;             /* in the order of POP3 */
    PGresult *gone;             /* digests, in rising order, of what was imported and is gone, */
    int64_t *gone_left;         /* and how many copies of each */
    struct compare_side side;
};

/* Within a transaction of the caller's. here_free() also after an error. */
enum ctl_exit here_load(struct ctl *c, const char *address, struct here *h);
void here_free(struct here *h);
int64_t here_uid(const struct here *h, const struct compare_mail *mail);
/* Reads the messages whose likeness.kept matters, to set it; after compare_match(). */
enum ctl_exit here_kept(struct ctl *c, struct here *h);
/* Was one with this digest imported, and deleted since? Each copy is met once. */
bool here_gone(struct here *h, const unsigned char digest[CONTENT_DIGEST]);

#endif
