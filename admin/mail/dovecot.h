/*
 * dovecot.h - the file dovecot-uidlist of a Maildir: the order and the UIDLs that Dovecot
 * gave its messages. Versions 1 (also courierimapuiddb) and 3. Pure, but for reading it.
 *
 *     3 V<uidvalidity> N<next uid> G<guid>
 *     <uid> [<letter><value> ...] :<name of the file>
 *
 * where O is the place in the order of POP3, P the UIDL that is kept (that of a server
 * before, or pop3_save_uidl), or nothing for the name of the file, and G the GUID.
 */
#ifndef POSTERN_ADMIN_DOVECOT_H
#define POSTERN_ADMIN_DOVECOT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

/* What Dovecot shows where it keeps no UIDL: its default for pop3_uidl_format. */
extern const char dovecot_format[];

struct dovecot_entry {
    size_t line;
    uint32_t uid, order;        /* order: UINT32_MAX if there is none, which is behind all that have one */
    struct span name;           /* of the file, without its flags */
    bool has_uidl;
    struct span uidl, guid;     /* the GUID may be nothing: it is the name then */
};

struct dovecot_list;

/* A line that is wrong is told (static text), and left out. */
typedef void dovecot_fault(void *arg, size_t line, const char *what);

/* NULL, and why in *error_r (static text), if it is not such a file; it may have been written by anybody. */
struct dovecot_list *dovecot_read(int fd, dovecot_fault *fault, void *arg, const char **error_r);
void dovecot_free(struct dovecot_list **list);
/* The entry of a file, whose name may have flags; NULL if there is none. Lent. */
const struct dovecot_entry *dovecot_find(const struct dovecot_list *list, const char *name);

/* Why this is no format for UIDLs that we can make (static text); NULL if it is: %u %v %f %g, %08Xu. */
const char *dovecot_format_fault(const char *format);
/* The UIDL that Dovecot shows, into an empty buffer. */
void dovecot_uidl(const struct dovecot_list *list, const struct dovecot_entry *entry, const char *format,
                  struct buf *out);

#endif
