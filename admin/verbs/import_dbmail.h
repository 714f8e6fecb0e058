/*
 * import_dbmail.h - the options of `import` that name a database of DBMail, and a user's mail in
 * it as a source.
 */
#ifndef POSTERN_ADMIN_IMPORT_DBMAIL_H
#define POSTERN_ADMIN_IMPORT_DBMAIL_H

#include "admin/ctl.h"
#include "admin/mail/source.h"

/* What the command line of `import`, or `compare` of one mailbox, says with --dbmail. CTL_USAGE after a message. */
enum ctl_exit import_dbmail_options(const struct ctl *c, int64_t *sync_limit_r);
/* The database alone, if there is --dbmail. CTL_USAGE after a message. */
enum ctl_exit import_dbmail_common(const struct ctl *c);
/* Connects and lists the mail of a userid, lent. source_fault() says what is wrong. */
struct source *import_dbmail_open(const struct ctl *c, const char *user);
/* That of --user, or of the mailbox. */
struct source *import_dbmail_open_user(const struct ctl *c, const char *mailbox);

#endif
