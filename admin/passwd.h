/*
 * passwd.h - files in which other servers keep names and hashes of passwords, read line by line.
 *
 *   csv      csv.h: a column "address" (or "user"), and "hash" or "password" or both
 *   dovecot  passwd-file: NAME:{SCHEME}HASH:...
 *   shadow   shadow(5): NAME:HASH:...
 *   userdb   Courier: NAME, tab, FIELD=VALUE|...; pop3pw or else systempw is the hash
 *
 * Pure. What is wrong with a line stays with that line.
 */
#ifndef POSTERN_ADMIN_PASSWD_H
#define POSTERN_ADMIN_PASSWD_H

#include <stdbool.h>
#include <stddef.h>

enum passwd_format { PASSWD_CSV, PASSWD_DOVECOT, PASSWD_SHADOW, PASSWD_USERDB };

struct passwd_entry {
    size_t line;            /* from 1 */
    const char *name;       /* as it stands there; "" where there is none */
    const char *secret;     /* the hash, or with `plain` the password itself; "" where there is a fault */
    bool plain;
    const char *fault;      /* static text; NULL: name and secret are there, whether they are good or not */
};

struct passwd {
    struct passwd_entry *entries;
    size_t count, room;
    struct csv *csv;        /* what the entries point into: this, */
    char *text;             /* or this */
    size_t text_len;
};

/*
 * Takes the text over, as csv_parse() does. NULL with the reason in *error_r (static text) if
 * it is not such a file at all.
 */
struct passwd *passwd_parse(enum passwd_format format, char *text, size_t len, const char **error_r);
/* Wipes all of it. */
void passwd_free(struct passwd **passwd);

#endif
