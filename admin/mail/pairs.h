/*
 * pairs.h - which UIDL each message of an import gets: the messages are looked at, and
 * all that is wrong is told, before the first one is stored.
 *
 * A list names its messages: by the name of the file, with or without the flags of a
 * Maildir, or its path; or by the digest that `message show` has. A list without names
 * goes by position, which is a promise only where the messages lie in an mbox, or in
 * files that the operator has put in order: not for the files of a directory, which
 * each program orders as it likes.
 */
#ifndef POSTERN_ADMIN_PAIRS_H
#define POSTERN_ADMIN_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "admin/ctl.h"
#include "admin/mail/source.h"
#include "daemon/base/mailbox_ref.h"

struct pair {
    const char *path;           /* the message, as in struct source_item */
    unsigned number;
    off_t at, end;
    bool stored;                /* unless --with asks for others too: neither rejected nor left out */
    const char *uidl;           /* NULL: it gets one of ours */
    const char *file;           /* who says so: this line of this file */
    size_t line;
    const char *fault;          /* why it gets one of ours, though (static text) */
    bool shared;                /* other messages of the source have the same one */
    bool in_use;                /* a message of the mailbox has it: the same one, if the import is resumed */
    bool ours;                  /* or the mailbox may make it itself */
};

/*
 * Something wrong that one UIDL or one message has: static text. The file and line are
 * those of the list, with the UIDL; or the message (line is then its number in an mbox
 * or 0), and uidl is NULL. Texts are lent for the call.
 */
typedef void pairs_note(void *arg, const char *file, size_t line, const char *uidl, const char *what);

struct pairs;

/*
 * Reads the source to its end; source_again() brings it back. NULL after a message if
 * the list cannot be used at all. Without a list the messages have the UIDLs that their
 * server showed, where the source knows that. resumed: messages of the mailbox may be met again.
 * mailbox may be NULL: one that is not there yet.
 */
struct pairs *pairs_new(struct ctl *c, const struct mailbox_ref *mailbox, struct source *source, const char *list,
                        bool resumed, pairs_note *note, void *arg);
void pairs_free(struct pairs **pairs);
/* The next item is the first one again, as after pairs_new(). */
void pairs_again(struct pairs *pairs);
/* For each item of a second reading, in order. NULL: it was not there, or was another one, when we looked. */
const struct pair *pairs_find(struct pairs *pairs, const struct source_item *item);
/* Pairs by number, from 0: those of a server are numbered as its items are, from 1. */
size_t pairs_count(const struct pairs *pairs);
size_t pairs_number(const struct pairs *pairs, const struct pair *pair);

#endif
