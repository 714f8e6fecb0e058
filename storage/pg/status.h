/*
 * status.h - how a question to the database ended. Programs branch on this;
 * the prose is in the log.
 */
#ifndef POSTERN_STORAGE_STATUS_H
#define POSTERN_STORAGE_STATUS_H

enum db_status {
    DB_OK,
    DB_NOT_FOUND,   /* no such mailbox or message (any more) */
    DB_UNCONFIRMED, /* of a cached login: it does not hold, or something else than DB_OK is to be said */
    DB_LOCKED,      /* another session holds the maildrop */
    DB_RETRY,       /* not now: database away, time ran out, disk full, out of lock slots. The lane is as it was */
    DB_LOST,        /* the lane that held the maildrop lock was lost, and the lock with it */
    DB_ONE_SERVER,  /* committed on this server; the wait for the standby that confirms it was cancelled */
    DB_BUG,         /* ours, or the schema's: an answer that is not what was declared, a right that is missing */
};

const char *db_status_name(enum db_status status);

#endif
