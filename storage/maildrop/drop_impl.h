/*
 * drop_impl.h - the insides of a store and of a drop, for the files of this
 * folder and nobody else. What one file alone needs is a struct of its own:
 * behind a pointer where it is made when it is first needed, else with the
 * name of its file.
 */
#ifndef POSTERN_STORAGE_DROP_IMPL_H
#define POSTERN_STORAGE_DROP_IMPL_H

#include <sys/queue.h>

#include "storage/maildrop/drop.h"
#include "storage/maildrop/held.h"
#include "storage/maildrop/retrieved.h"
#include "storage/maildrop/statements.h"
#include "storage/pg/pg.h"

struct alone;
struct aside;
struct history;
struct idmap;
struct listing_cache;
struct passing;
struct read_ahead;
struct reader;
struct reclaim;
struct takeover;

struct store {
    struct loop *loop;
    struct pg *pg;
    bool closing;                   /* store_free(): nobody hears answers any more */
    struct held held;
    size_t open;                    /* of them with the lock taken */
    struct listing_cache *listings;
    struct drop_cost cost;          /* store_cost() */
    char host[64];

    struct store_opens {            /* open.c */
        struct idmap *askers;
        TAILQ_HEAD(, login_lane) waiting;   /* for the end of the first attempt to connect; login_lane.c */
    } opens;
    struct store_owner {            /* store.c */
        void (*wrong_schema)(void *arg, const char *text);
        void *arg;
    } owner;
    struct alone *alone;
    struct aside *aside;
    struct history *history;
    struct read_ahead *read_ahead;
    struct reclaim *reclaim;
    struct takeover *takeover;
    struct store_asked {            /* presence.c: who is logged in, in this second */
        uint64_t second;
        unsigned times;
    } asked;
};

enum drop_state {
    DROP_OPENING,   /* the lock is asked for */
    DROP_OPEN,      /* the session has it */
    DROP_CLOSING,   /* the lock is being given back: after QUIT, or because the opening came to nothing */
};

/* The lock was given back, or went with its lane (DB_LOST), or its lane is broken off as it could not be. */
typedef void drop_closed(struct drop *drop, enum db_status status);

struct drop {
    struct store *store;
    struct held_place place;        /* in store->held; and whose maildrop it is */
    struct pg_ref lane;
    struct listing *listing;        /* while opening: the one that the cache has, or NULL */
    struct mailbox_ticket ticket;
    enum drop_state state;
    enum db_status status;          /* to tell the owner, */
    void *owner;                    /* who waits for the opening or the end, and is asked in between */
    uint64_t opened_at;             /* of the loop's clock */
    struct drop_cost cost;
    struct retrieved retrieved;
    bool moving;                    /* move.c: it must not end now; drop_finish() waits for drop_moved() */

    struct drop_who {               /* who holds it; the texts lie behind the struct */
        time_t since;
        const char *session, *peer, *protocol;
        drop_asked *asked;
        bool asks;
    } who;
    struct drop_opening {           /* open.c */
        uint64_t id;                /* 0 once it was open */
        drop_opened *opened;
        size_t came;                /* messages in the last answer */
        void (*listed)(struct drop *drop, enum db_status status);   /* list_rest.c */
        struct mailbox_versions versions;
        enum pg_bound bound;        /* what there was for a lane */
    } opening;
    struct drop_closing {           /* close.c */
        drop_closed *closed;
        bool waits;                 /* for what is being read */
        unsigned tries;
    } closing;
    struct drop_ending {            /* finish.c */
        drop_done *done;
        unsigned char *marks;       /* while the expunge is under way */
        size_t marked;
        struct drop *next;          /* in alone.waiting */
    } ending;
    struct reader *reader;          /* drop_read.c; NULL until something is read */
    size_t reading;                 /* questions for messages that were not answered yet, wanted or not */
    struct passing *passing;        /* takeover.c; NULL where nobody has asked anybody for it */
};

/* In the answer to a statement of this drop. */
void drop_charge(struct drop *drop);
/* Somebody waits for the opening still. */
bool drop_is_awaited(const struct drop *drop);
/* The lock is gone though its lane is not. */
void drop_lose(struct drop *drop);
void drop_lane_lost(struct store *store);

#endif
