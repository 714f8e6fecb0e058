/*
 * remove.h - a mailbox with all of its mail goes, for verbs that asked before.
 */
#ifndef POSTERN_ADMIN_REMOVE_H
#define POSTERN_ADMIN_REMOVE_H

#include "admin/ctl.h"

/* In canonical form; --force is as of the command line. What was interrupted goes on when it is called again. */
enum ctl_exit remove_mailbox(struct ctl *c, const char *address);

#endif
