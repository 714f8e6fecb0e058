/*
 * compare.h - which message of one server is which one of another, and how they differ. Pure.
 *
 * A message is known by its UIDL, as a client knows it; then by its digest, copies in their
 * order; then by what is left of it without the header fields that servers change (likeness.h).
 */
#ifndef POSTERN_ADMIN_COMPARE_H
#define POSTERN_ADMIN_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/mail/likeness.h"

enum compare_flag {
    COMPARE_UIDL = 1,           /* not the same */
    COMPARE_OCTETS = 2,         /* not as many */
    COMPARE_TEXT = 4,           /* not the same octets, */
    COMPARE_FIELDS = 8,         /* but only in the fields that likeness.h leaves out */
    COMPARE_ORDER = 16,         /* stands elsewhere, among the messages that both sides have */
};

struct compare_mail {
    const char *uidl;           /* NULL: not known, which is no difference. Lent */
    struct likeness likeness;
    bool has_kept;              /* is likeness.kept set? */
    bool unread;                /* it could not be read: only its UIDL is known */
    struct compare_mail *other; /* what it is at the other side, or NULL */
    unsigned flags;             /* of both */
};

/* The messages of a side, in the order of POP3. The caller frees `mails`. */
struct compare_side {
    struct compare_mail *mails;
    size_t count;
};

/* By UIDL, then by digest. Sets `other`; each message is met once. */
void compare_match(struct compare_side *here, struct compare_side *there);
/* Does likeness.kept of this message matter? After compare_match(). */
bool compare_wants_kept(const struct compare_mail *mail);
/* Matches by likeness.kept what is left, and sets the flags. */
void compare_rest(struct compare_side *here, struct compare_side *there);

#endif
