/*
 * sync_impl.h - what the kinds of sources have in common where something has gone there (sync.h,
 * sync_files.h).
 */
#ifndef POSTERN_ADMIN_SYNC_IMPL_H
#define POSTERN_ADMIN_SYNC_IMPL_H

#include <libpq-fe.h>

#include "admin/mail/sync.h"
#include "daemon/base/buf.h"

struct sync_kind {
    const char *label;          /* of the source, as imports noted it */
    const char *gone, *none;    /* "at the server", "the server lists no message" */
    const char *remove;         /* a statement: mailbox, label, uids to (removed, held) */
};

/* The UIDLs that the source has now, an array. Returns how many messages it lists; of so many it says no UIDL. */
uint64_t sync_list(struct source *source, struct buf *uidls, uint64_t *without_r);
/* Counts, refuses or removes what an answer (uid, unread, of; binary) says is absent. */
enum ctl_exit sync_absent(struct ctl *c, const struct mailbox_ref *mailbox, const struct sync_kind *kind,
                          uint64_t listed, const PGresult *absent, const struct sync_how *how,
                          struct sync_done *done_r);

#endif
