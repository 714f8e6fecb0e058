/*
 * export.h - the mail of a mailbox as files, for verbs that write more than that.
 */
#ifndef POSTERN_ADMIN_EXPORT_H
#define POSTERN_ADMIN_EXPORT_H

#include "admin/ctl.h"

/*
 * Within a transaction of the caller's: NNNNNNNNN.eml for each message, in a new directory at
 * base, relative to the directory `at`; messages show path. *count_r messages.
 */
enum ctl_exit export_eml(struct ctl *c, const char *address, const char *path, int at, const char *base,
                         uint64_t *count_r);

#endif
