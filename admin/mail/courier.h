/*
 * courier.h - the file courierpop3dsizelist of a Maildir: the UIDLs that Courier's POP3
 * server gave its messages. All versions. Pure, but for reading it.
 *
 *     /3 <next number> <uidvalidity>
 *     <name of the file> <octets> <number>:<uidvalidity>:<has UTF-8 in its header>
 *
 * Version 2 has not the last of these, version 1 has "<number>" alone, and the oldest lists
 * have neither a first line nor a number. The number 0, or none, says that the name of
 * the file is the UIDL.
 */
#ifndef POSTERN_ADMIN_COURIER_H
#define POSTERN_ADMIN_COURIER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

struct courier_entry {
    struct span name;           /* of the file, without its flags */
    uint64_t number, validity;
};

struct courier_list {
    struct buf text;
    struct span left;
    int version;                /* 0 to 3 */
    size_t line;                /* of the entry that was taken */
};

/* NULL, or why it is not such a file (static text). Close it in either case. */
const char *courier_open(struct courier_list *list, int fd);
void courier_close(struct courier_list *list);
/* 1 and an entry, lent until the list is closed; 0 at the end; -1 and why that line is wrong (static text). */
int courier_next(struct courier_list *list, struct courier_entry *entry_r, const char **fault_r);
/* The UIDL that Courier shows, into an empty buffer. */
void courier_uidl(const struct courier_entry *entry, struct buf *out);

/* The order in which Courier shows two files: by the number that the name begins with, then by its octets. */
int courier_cmp(const char *a, const char *b);

#endif
