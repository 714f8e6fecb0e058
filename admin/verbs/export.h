/*
 * export.h - the mail of a mailbox as files, for `export` and for verbs that write more than that.
 */
#ifndef POSTERN_ADMIN_EXPORT_H
#define POSTERN_ADMIN_EXPORT_H

#include <stdio.h>

#include "admin/ctl.h"
#include "admin/mail/mailout.h"

/*
 * Within a transaction of the caller's: NNNNNNNNN.eml for each message, in a new directory at
 * base, relative to the directory `at`; messages show path. *count_r messages.
 */
enum ctl_exit export_eml(struct ctl *c, const char *address, const char *path, int at, const char *base,
                         uint64_t *count_r);

/* One mailbox, in a transaction of its own; uidvalidity and next_uid of `to` are filled in. */
enum ctl_exit export_one(struct ctl *c, const char *address, const struct mailout_to *to, struct mailout_done *done_r);
/* Says that it was done. */
void export_say(struct ctl *c, const char *address, const struct mailout_to *to, const struct mailout_done *done);
/* list may be NULL. Returns `end`, or what is wrong with the list. */
enum ctl_exit export_close_list(FILE *list, const char *path, enum ctl_exit end);

/* export_tree.c: those that --domain, --tenant or --all name. */
enum ctl_exit export_tree(struct ctl *c, const struct mailout_to *to);

#endif
