/*
 * known.h - what a mailbox has, and what imports brought to it that is gone: what an
 * import that is resumed need not store again.
 */
#ifndef POSTERN_ADMIN_KNOWN_H
#define POSTERN_ADMIN_KNOWN_H

#include <stdbool.h>

#include "admin/ctl.h"
#include "daemon/base/mailbox_ref.h"
#include "storage/content/content.h"

struct known;

enum known_as {
    KNOWN_NOT,      /* it is to be stored */
    KNOWN_THERE,    /* a message of the mailbox */
    KNOWN_GONE,     /* was imported, and deleted since */
};

/* As it is now. with_gone: what is gone counts as new. NULL after a message. */
struct known *known_new(struct ctl *c, const struct mailbox_ref *mailbox, bool with_gone);
/* *known may be NULL. */
void known_free(struct known **known);

/*
 * A mailbox may hold one message several times: each of them is met once, and those that are gone
 * after those that are there.
 */
enum known_as known_take(struct known *known, const unsigned char digest[CONTENT_DIGEST]);
/*
 * The same for a message of a server, by the UIDL that it came with: its digest is taken with it. To be
 * asked for all that are known so before the first known_take().
 */
enum known_as known_take_uidl(struct known *known, const char *uidl);
/*
 * The same for a file: only a message that is there, and was received at that time (microseconds since
 * 1970), as servers give the messages of two folders the same UIDLs.
 */
enum known_as known_take_file(struct known *known, const char *uidl, int64_t received);

/* Messages that are there, and were not taken: each digest, and how many of it. */
typedef void known_each(void *arg, const unsigned char *digest, int64_t copies);
void known_left(const struct known *known, known_each *each, void *arg);

#endif
