/*
 * set_uidls.h - the UIDLs of an old server for messages that were imported before.
 */
#ifndef POSTERN_ADMIN_SET_UIDLS_H
#define POSTERN_ADMIN_SET_UIDLS_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "admin/mail/pairs.h"
#include "admin/mail/source.h"
#include "daemon/base/mailbox_ref.h"

struct set_uidls {
    uint64_t set;           /* or with dry_run: would be set */
    uint64_t had;           /* messages that have theirs */
    uint64_t missing;       /* messages of the source that the mailbox does not have */
};

/*
 * Messages of the mailbox are found by their digest, copies in their order. All UIDLs are
 * set in one transaction, or none. One that another message has, and keeps, is told and
 * left out. The source is read to its end; the pairs were made of it. What an import leaves out
 * was never stored: it wants no UIDL unless with[] has its enum state_kind.
 */
enum ctl_exit set_uidls(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source, struct pairs *pairs,
                        const bool with[], bool dry_run, pairs_note *note, void *arg, struct set_uidls *done_r);

#endif
