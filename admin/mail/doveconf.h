/*
 * doveconf.h - what Dovecot's configuration says of UIDLs, in the form in which `doveconf -n`
 * prints it. Of Dovecot 2.4 and before. Pure, but for reading it.
 */
#ifndef POSTERN_ADMIN_DOVECONF_H
#define POSTERN_ADMIN_DOVECONF_H

#include <stdbool.h>

struct doveconf {
    char *uidl_format;          /* pop3_uidl_format; NULL: the default */
    char *deleted_flag;         /* pop3_deleted_flag: a keyword; NULL: none */
    bool reuse_xuidl;           /* pop3_reuse_xuidl */
    bool elsewhere;             /* lists are in a directory of their own: CONTROL=, or mail_control_path */
};

/* NULL, or why it is not such a text (static text). Free it in either case. */
const char *doveconf_read(int fd, struct doveconf *conf_r);
void doveconf_free(struct doveconf *conf);

#endif
