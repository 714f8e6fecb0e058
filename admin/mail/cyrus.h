/*
 * cyrus.h - the file cyrus.index of a mailbox of Cyrus IMAP: the messages that it shows, and
 * their UIDLs. Versions 6 to 20 of the file. Pure, but for reading it.
 *
 * A message is the file "<uid>." in the same directory. Its record stays in the index
 * after it was removed, and its file, too, until it is cleaned up.
 */
#ifndef POSTERN_ADMIN_CYRUS_H
#define POSTERN_ADMIN_CYRUS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

struct cyrus_layout;

struct cyrus_index {
    struct buf text;
    const struct cyrus_layout *layout;
    uint32_t start, record, count, next;
    uint32_t validity, last_uid;
    bool uid_alone;             /* the mailbox has not the option for other UIDLs than the uid */
    int64_t show_after;         /* microseconds: older messages are hidden from POP3 */
    uint32_t uid;               /* of the entry before */
};

struct cyrus_entry {
    uint32_t uid;
    int64_t received;           /* microseconds since 1970 */
    bool expunged;              /* removed, though its file may be there */
    bool archived;              /* its file is in another directory */
    bool deleted, draft;        /* flags of IMAP; POP3 shows these messages */
};

/* NULL, or why it is not such a file (static text). Close it in either case. */
const char *cyrus_open(struct cyrus_index *index, int fd);
void cyrus_close(struct cyrus_index *index);
/* 1 and an entry; 0 at the end; -1 and why this one is wrong (static text). They are numbered from 1: index->next. */
int cyrus_next(struct cyrus_index *index, struct cyrus_entry *entry_r, const char **fault_r);

/* uidl_format of imapd.conf: "cyrus" (the default), "uidonly", "dovecot" or "courier". NULL, or static text. */
const char *cyrus_format_fault(const char *format);
/* The UIDL that Cyrus shows, into an empty buffer. */
void cyrus_uidl(const struct cyrus_index *index, uint32_t uid, const char *format, struct buf *out);

/* The uid of a message by the name of its file, "17."; 0 if it is not named like that. */
uint32_t cyrus_uid_of(const char *name);

#endif
