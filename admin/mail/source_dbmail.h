/*
 * source_dbmail.h - the mailbox of a DBMail user (3.x, in PostgreSQL) as a source of an import: its
 * INBOX as DBMail's POP3 server shows it. The database is only read, from one snapshot.
 */
#ifndef POSTERN_ADMIN_SOURCE_DBMAIL_H
#define POSTERN_ADMIN_SOURCE_DBMAIL_H

#include "admin/mail/source.h"

struct source_dbmail_how {
    const char *conninfo;       /* of libpq, without a password */
    const char *user;           /* userid of dbmail_users */
};

/* Why this is no connection string for it, without its text; static, or NULL. */
const char *source_dbmail_fault(const char *conninfo);
/* source_fault() says so if the database cannot be reached, or has no such user. */
struct source *source_dbmail_new(const struct source_dbmail_how *how);

#endif
