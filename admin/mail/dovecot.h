/*
 * dovecot.h - the file dovecot-uidlist of a Maildir: the order and the UIDLs that Dovecot
 * gave its messages. Versions 1 (also courierimapuiddb) and 3. Pure, but for reading it.
 *
 *     3 V<uidvalidity> N<next uid> G<guid>
 *     <uid> [<letter><value> ...] :<name of the file>
 *
 * where O is the place in the order of POP3, P the UIDL that is kept (that of a server
 * before, or pop3_save_uidl), or nothing for the name of the file, and G the GUID.
 * dovecot-keywords has "<number> <keyword>" in each line; in the name of a file a letter
 * stands for a keyword, `a` for the number 0.
 */
#ifndef POSTERN_ADMIN_DOVECOT_H
#define POSTERN_ADMIN_DOVECOT_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/mail/uidl_format.h"
#include "daemon/base/buf.h"
#include "daemon/base/span.h"

/* What Dovecot shows where it keeps no UIDL: its default for pop3_uidl_format. */
extern const char dovecot_format[];

struct dovecot_entry {
    uint32_t uid, order;        /* order: UINT32_MAX if there is none, which is behind all that have one */
    struct span name;           /* of the file, without its flags */
    bool has_uidl;
    struct span uidl, guid;     /* the GUID may be nothing: it is the name then */
};

struct dovecot_list {
    struct buf text;
    struct span left;
    int version;
    uint32_t validity, last;    /* last: the uid of the entry before */
    size_t line;                /* of the entry that was taken */
};

/* NULL, or why it is not such a file (static text). Close it in either case. */
const char *dovecot_open(struct dovecot_list *list, int fd);
void dovecot_close(struct dovecot_list *list);
/* 1 and an entry, lent until the list is closed; 0 at the end; -1 and why that line is wrong (static text). */
int dovecot_next(struct dovecot_list *list, struct dovecot_entry *entry_r, const char **fault_r);
/* The UIDL that Dovecot shows, into an empty buffer. */
void dovecot_uidl(const struct dovecot_list *list, const struct dovecot_entry *entry, const char *format,
                  struct buf *out);

/*
 * The letter of a keyword, by the text of dovecot-keywords; 0 if no message has it. -1: it has none,
 * as there are more keywords than letters.
 */
int dovecot_letter(struct span keywords, const char *keyword);
/* Does the name of this file have the letter among its flags? */
bool dovecot_has_letter(const char *name, int letter);

#endif
