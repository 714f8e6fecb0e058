/*
 * sync.h - what has gone at a server since an import brought it goes here, too, if nobody has
 * read it here.
 */
#ifndef POSTERN_ADMIN_SYNC_H
#define POSTERN_ADMIN_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "admin/mail/source.h"
#include "daemon/base/mailbox_ref.h"

struct sync_how {
    unsigned limit;         /* percent of what the mailbox has from there */
    bool dry_run;
};
struct sync_done {
    uint64_t of;            /* messages that the mailbox had from there */
    uint64_t removed;       /* or with dry_run: would be */
    uint64_t read;          /* gone there, and kept, as a session has retrieved them here */
    bool held;              /* a session holds the maildrop: the rest was left for another time */
};

/*
 * Messages with a UIDL that imports from this source brought, and that it lists no more. Nothing is
 * removed, which is an error, if the source lists no message at all, or if it were more than `limit`
 * percent of them and more than SYNC_FEW: a server that has lost its mail, or shows another
 * mailbox, is no reason to remove any. A limit of 100 percent allows everything.
 *
 * The source (source_by_uidl()) is listed from its beginning, and not read.
 */
enum { SYNC_FEW = 10, SYNC_LIMIT = 50 };
enum ctl_exit sync_run(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source,
                       const struct sync_how *how, struct sync_done *done_r);

#endif
