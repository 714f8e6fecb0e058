/*
 * state.h - what a mailbox format says of a message in addition to its text: deleted
 * but not yet purged, a draft, not a message at all. Pure.
 */
#ifndef POSTERN_ADMIN_STATE_H
#define POSTERN_ADMIN_STATE_H

#include "daemon/base/span.h"

enum state_flag {
    STATE_DELETED = 1,
    STATE_DRAFT = 2,
    /* Of the pseudo message that UW imap (Pine, Alpine, mutt) keeps as the first one of an mbox. Both make it one. */
    STATE_INTERNAL_SUBJECT = 4,
    STATE_INTERNAL_FIELD = 8,
};

/* What an import does not take unless it is asked to. HIDDEN: its server kept it, and did not show it. */
enum state_kind {
    STATE_LIVING, STATE_KIND_DELETED, STATE_KIND_DRAFT, STATE_KIND_FOLDER_DATA, STATE_KIND_HIDDEN, STATE_KINDS
};
enum state_kind state_kind(unsigned flags);

/*
 * What one line of a header in an mbox adds: X-Mozilla-Status, X-Mozilla-Status2
 * and X-Mozilla-Draft-Info (Mozilla), Status and X-Status (UW imap, mutt, mailx),
 * the subject of FOLDER INTERNAL DATA. Folded lines are not joined: none of
 * these programs folds them.
 */
unsigned state_of_field(struct span line);

/* What the name of a file in a Maildir says: the flags T and D after ":2,". */
unsigned state_of_maildir_name(const char *name);

/* How much of that name the message keeps when its flags change. */
size_t state_maildir_base(const char *name);

/* MH marks what is deleted, until it is purged, by a comma in front of its number. */
unsigned state_of_mh_name(const char *name);

#endif
