/*
 * drop.h - a maildrop that a session holds: lock, listing, pieces, commit.
 *
 * The listing is a snapshot of the moment of opening. Messages are counted
 * from 0 here (the protocol counts from 1). All that asks the database answers
 * by callback, later and from the loop, never from within the call; a drop
 * that was given up hears no more.
 *
 * The fence: everything goes over the lane that has the lock: the one on which
 * it was taken, or that to which it was moved (move.c). Once that lane was
 * lost, every question is DB_LOST, for ever: a session that lost its lock is
 * unable to delete.
 */
#ifndef POSTERN_STORAGE_DROP_H
#define POSTERN_STORAGE_DROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"
#include "storage/content/piece.h"
#include "storage/maildrop/listing.h"
#include "storage/pg/status.h"

struct store;
struct drop;
struct login_lane;

/*
 * Somebody wants a maildrop that is open: a good login, `by` its session id, or
 * an operator, who has ordered it. True: the owner has called drop_finish()
 * within the call, without marks. False: it stays, as there is work going on.
 */
typedef bool drop_asked(void *owner, const char *by, bool ordered);

/* Who holds it: shown to the operator by `posternctl sessions`. Copied. */
struct drop_holder {
    const char *session;    /* session id */
    const char *peer;       /* "192.0.2.1:4242" */
    const char *protocol;   /* "pop3" */
    time_t since;
    drop_asked *asked;      /* NULL: as if it always said false */
    bool asks;              /* another session that holds the maildrop is asked for it, once */
    struct mailbox_versions versions;   /* of a cached login, which is then confirmed; else all zero */
    struct mailbox_ticket ticket;       /* what the helper made for this login */
};

/*
 * drop is the asker's from now on if status is DB_OK, else NULL. DB_LOCKED:
 * another session holds it, and is not silent, or not asked. DB_NOT_FOUND:
 * removed or disabled meanwhile. DB_UNCONFIRMED: any of these to a cached login,
 * or it does not hold, or its lane was lost meanwhile, or its ticket is not valid; no
 * lock was taken, and nobody was asked.
 */
typedef void drop_opened(void *owner, enum db_status status, struct drop *drop);

/* Statements that were answered for a maildrop, and how long that took in all. */
struct drop_cost {
    uint64_t statements, us;
};
/* So far. */
struct drop_cost drop_cost(const struct drop *drop);
/* In a drop_opened that failed and in a drop_done: of the maildrop that it is about, from its opening to now. */
struct drop_cost store_cost(const struct store *store);

/*
 * One statement, or some where there are many messages, on the lane that the ticket is for;
 * that is the drop's from now on, and *lane NULL. Returns an id for drop_forget(), never 0.
 */
uint64_t drop_open(struct store *store, struct login_lane **lane, const struct mailbox_ref *mailbox,
                   const struct drop_holder *holder, drop_opened *done, void *owner);
/* The asker has gone: a lock that was taken is given back when the answer comes. An id that is over is allowed. */
void drop_forget(struct store *store, uint64_t id);

size_t drop_count(const struct drop *drop);
uint64_t drop_octets(const struct drop *drop);                      /* the sum over all messages */
uint64_t drop_message_octets(const struct drop *drop, size_t i);    /* as RETR sends it, before stuffing */
size_t drop_message_uidl(const struct drop *drop, size_t i, char out[UIDL_MAX]); /* 1 to UIDL_MAX octets */
bool drop_lost(const struct drop *drop);

/* ---- the messages, in pieces (storage/content/piece.h) */

/*
 * piece counts from 0; the first one begins with the Delivered-To line where
 * there is one. A piece is at most 32 parts of a content (256,000 octets), or eight
 * parts while the pieces that are held in this process take more than 64 MiB. DB_NOT_FOUND: the
 * message was removed by somebody else. DB_BUG: what is stored does not have
 * the octets that the listing says (logged): never send the end of it.
 */
typedef void drop_piece(void *owner, enum db_status status, struct piece piece);

/*
 * What is wanted of a message, most likely. Of its beginning the first piece is a
 * short one (a part of the content). Of its header it ends with the blank line behind it:
 * the header, to that line, is all that can be read then; where it is longer
 * than a piece, it is read as a beginning.
 */
enum drop_want { WANT_WHOLE, WANT_BEGINNING, WANT_HEADER };

/*
 * Returns 1 and the piece in *piece_r if it is at hand (read ahead), else 0
 * and asks for it: one statement, and one callback. One question at a time for
 * each drop. Messages asked for in rising order make it read the next small
 * ones ahead, within the bounds of the settings; and beginnings and headers of
 * large ones too, where they are what is wanted.
 */
int drop_read(struct drop *drop, size_t i, uint32_t piece, enum drop_want want, struct piece *piece_r, drop_piece *done,
              void *owner);
/* The answer that is on its way is not wanted any more. */
void drop_read_forget(struct drop *drop);

/*
 * All of message i is on its way to the client; and all that is on its way was
 * taken by the connection. What was taken is told to the database at the end,
 * for the history of the mailbox and for what expires after it was retrieved.
 */
void drop_note_retrieved(struct drop *drop, size_t i);
void drop_note_sent(struct drop *drop);

/*
 * The end. marks has one octet for each message, non-zero for those to remove;
 * NULL removes nothing. All of them or none, then the lock is given back, then
 * done(owner, status): DB_OK only after the commit. Without marks nothing is
 * asked but the unlocking. *drop is NULL afterwards. done may be NULL.
 *
 * DB_RETRY and DB_BUG: nothing was removed, for certain. DB_ONE_SERVER: it was
 * removed, but the synchronous standby has not confirmed that, and does not have it
 * if it takes over now. DB_LOST: the lane was lost before or while it was asked; if
 * while, nobody can know whether it was removed. Whatever the status, a login after done() does not meet this lock
 * (where the lane was lost: as soon as the database has noticed).
 */
typedef void drop_done(void *owner, enum db_status status);
void drop_finish(struct drop **drop, const unsigned char *marks, drop_done *done, void *owner);

#endif
