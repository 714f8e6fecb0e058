/*
 * mbox_server.h - what a server showed of the messages in an mbox: which UIDL, and which
 * header fields. What the servers do was read in their sources and seen with those that run.
 *
 *     dovecot    X-UID and the uidvalidity of X-IMAPbase, in the operator's format
 *     uw         the same, %08lx%08lx of uidvalidity and uid; a Status line of its own
 *     popa3d     MD5 over some header lines: X-Delivery-ID, Delivered-To, the first Received, and
 *                Date and Message-ID above that
 *     qpopper    X-UIDL, which it shows elsewhere than it keeps it
 *     mailutils  X-UIDL, and all that is there
 */
#ifndef POSTERN_ADMIN_MBOX_SERVER_H
#define POSTERN_ADMIN_MBOX_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "admin/mail/hide.h"
#include "admin/mail/mbox.h"
#include "daemon/base/buf.h"

struct mbox_server;

/* NULL: there is no such server, or none that we know with an mbox. */
const struct mbox_server *mbox_server_find(const char *name);
/* What it makes of lines that are quoted in the mbox (MBOX_PLAIN: it shows them as they are). */
enum mbox_quoting mbox_server_quoting(const struct mbox_server *server);
/* Why this is no pop3_uidl_format for an mbox (static text); NULL if it is, as "%m" alone is, too. */
const char *mbox_server_format_fault(const char *format);

/* One mbox, message after message. */
struct mbox_seen {
    const struct mbox_server *server;
    const char *format;         /* pop3_uidl_format of Dovecot; lent */
    uint32_t validity;          /* 0: not known, so far */
    uint32_t last;              /* the uid of X-IMAPbase that was given last */
    uint32_t uid;               /* of the message before that has one */
    bool begun;
    struct buf uidl;
    struct buf added;
    struct hide_how hide;
    bool has_received;          /* a Received field with a date, */
    int64_t received;           /* of which this is the topmost: microseconds since 1970 */
};

void mbox_seen_begin(struct mbox_seen *s, const struct mbox_server *server, const char *format);
void mbox_seen_free(struct mbox_seen *s);
/*
 * The next message, which is at [at, end) of the file. Its UIDL, lent until the next one; NULL if the
 * server never showed one, as far as one can tell. s->hide is what it hid of it, until then.
 */
const char *mbox_seen_message(struct mbox_seen *s, int fd, off_t at, off_t end);
/* Do its first messages have UIDs, which only a server gives? */
bool mbox_seen_uids(int fd);

#endif
