/*
 * sync_files.h - what has gone from the files of a source since an import brought it goes here, too, if
 * nobody has read it here.
 */
#ifndef POSTERN_ADMIN_SYNC_FILES_H
#define POSTERN_ADMIN_SYNC_FILES_H

#include "admin/mail/known.h"
#include "admin/mail/sync.h"

/* What put_from() is told of files whose messages may go so; a source_label() is another. */
extern const char sync_files_label[];

/*
 * As sync_run(), for a source that was read to its end: messages are known by their digests, as files need
 * have no UIDLs. Removed is what `known` has left (known_left()), as far as imports with the label brought it.
 */
enum ctl_exit sync_files_run(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source,
                             const struct known *known, const struct sync_how *how, struct sync_done *done_r);

#endif
