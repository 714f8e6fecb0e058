/*
 * store_impl.h - the insides of store and drop: for store.c, held.c, drop.c,
 * drop_read.c, aside.c, history.c, presence.c, reclaim.c and takeover.c, and
 * nobody else.
 */
#ifndef POSTERN_STORAGE_STORE_IMPL_H
#define POSTERN_STORAGE_STORE_IMPL_H

#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "storage/maildrop/drop.h"
#include "storage/pg/pg.h"
#include "storage/maildrop/store.h"

struct idmap;
struct listing;
struct listing_cache;
struct piece_set;
struct read_question;
struct timer;

/*
 * The maildrops that this store holds, opens or gives back, by mailbox. Two
 * sessions on one lane would both get the lock, as it belongs to the
 * connection: so it is this set that keeps them apart. A maildrop leaves it
 * only when the unlocking was answered, or its lane was lost.
 */
struct held {
    struct hash drops;
};
bool held_add(struct held *held, struct drop *drop);    /* false: it is there already */
void held_remove(struct held *held, struct drop *drop); /* nothing happens if it is not there */
struct drop *held_find(const struct held *held, const struct mailbox_ref *mailbox);   /* or NULL */
/* each() may remove the drop it is called for. */
void held_each(struct held *held, void (*each)(struct drop *drop, void *arg), void *arg);
void held_free(struct held *held);

/* Who waits for a maildrop that others hold, and what bounds the asking (takeover.c). */
enum { TAKEOVER_SLOTS = 256 };
struct takeover {
    struct drop *waiting;
    struct timer *timer;
    uint64_t second;                /* in which so many notifications were sent */
    unsigned sent;
    struct takeover_asked {
        struct mailbox_ref mailbox;
        uint64_t at;                /* 0: the slot is empty */
    } asked[TAKEOVER_SLOTS];
};

/*
 * What sessions that have ended leave for the history, until it is written: arrays, as the
 * database takes them (history.c).
 */
struct history {
    size_t sessions;                /* elements of each array but the last one */
    size_t messages;                /* elements of the last one */
    struct buf arrays[8];           /* in the order of the parameters of PG_NOTE_SESSIONS */
    struct timer *timer;
    size_t under_way;               /* statements */
};

struct store {
    struct loop *loop;
    struct pg *pg;
    bool closing;                   /* store_free(): nobody hears answers any more */
    void (*wrong_schema)(void *arg, const char *text);
    void *arg;

    struct idmap *opens;            /* the askers of drop_open() */
    struct held held;
    size_t open;                    /* of them with the lock taken */
    struct drop *parked;            /* opened before the first attempt to connect came to an end, latest first */
    struct listing_cache *listings;
    struct drop_cost cost;          /* store_cost() */

    uint64_t read_ahead, read_ahead_total;
    uint64_t ahead_octets;          /* kept by, or under way to, all drops */
    struct drop *readers;           /* those that keep something */
    struct timer *readers_timer;
    struct timer *reclaim_timer;
    bool reclaiming;                /* a batch is asked for, or the next one is due */
    struct timer *aside_timer;
    bool aside_due;                 /* the timer is set */
    bool moving;                    /* drops are moved aside */
    uint64_t aside_rest;            /* after so many milliseconds without a question a session rests */
    size_t aside_many;              /* it matters when so many maildrops are held on the lanes */
    struct takeover takeover;
    struct history history;
    char host[64];
};

enum drop_state {
    DROP_OPENING,   /* the lock is asked for */
    DROP_OPEN,      /* the session has it */
    DROP_CLOSING,   /* the lock is being given back: after QUIT, or because the opening came to nothing */
};

enum retrieved { RETRIEVED_NOT, RETRIEVED_UNDER_WAY, RETRIEVED };

struct drop {
    struct store *store;
    struct mailbox_ref mailbox;
    struct pg_ref lane;
    struct listing *listing;        /* while opening: the one that the cache has, or NULL */
    struct hash_link by_mailbox;    /* in store->held */
    struct drop *next_parked;
    unsigned char state;            /* enum drop_state */
    bool held;                      /* in store->held */
    unsigned char close_tries, expunge_tries;
    bool conflict;                  /* the expunge was rolled back, and may be tried again */
    bool moving;                    /* aside.c: it must not end now; drop_finish() waits for drop_moved() */

    /* The one who waits: for the opening (opened) or the end (done). */
    uint64_t open_id;
    drop_opened *opened;
    drop_done *done;
    void *owner;
    enum db_status status;          /* for the asker */
    unsigned char *marks;           /* while the expunge is under way */
    size_t marked;
    unsigned char *retrieved;       /* enum retrieved of each message; NULL until the first one */
    size_t under_way, under_way_end; /* no others are RETRIEVED_UNDER_WAY */
    size_t retrieved_count;
    uint64_t opened_at;             /* of the loop's clock */
    uint64_t retrieved_octets;
    struct drop_cost cost;

    /* Passing it on (takeover.c). */
    drop_asked *asked;
    struct drop *next_waiting;      /* in store->takeover.waiting */
    uint64_t waits_until;
    char *release_to;               /* the reply channel of who asked for it first, or NULL */
    bool asks, has_waited, refused;

    struct mailbox_versions versions;

    /* Reading (drop_read.c). */
    struct read_question *question; /* that is waited for */
    size_t next_in_order;           /* message after the one that was read last */
    uint32_t window;                /* messages in one statement */
    size_t message;                 /* that is being read, */
    uint32_t next_piece;
    uint32_t next_part;             /* where that piece begins */
    uint64_t octets_so_far;
    struct piece_set *ahead;        /* messages ahead_first .. + ahead_count - 1 */
    uint32_t ahead_parts;           /* of each message, at most */
    bool ahead_headers;             /* no more of them than their headers */
    size_t ahead_first;
    uint32_t ahead_count;
    uint64_t ahead_octets;
    uint64_t used_at;
    struct drop *reader_next, **reader_link;

    /* Who holds it; the texts follow the struct. */
    time_t since;
    const char *session, *peer, *protocol;
};

/* drop.c */
/* In the answer to a statement of this drop. */
void drop_charge(struct drop *drop);
/* The end of a wait for a maildrop that somebody held: another try, or not. */
void drop_open_again(struct drop *drop, bool refused);
void drop_try_parked(struct store *store);
void drop_lane_lost(struct store *store);
/* The lock is gone though its lane is not. */
void drop_lose(struct drop *drop);
void drop_moved(struct drop *drop);
/* drop_read.c */
void drop_read_end(struct drop *drop);
void drop_forget_ahead(void *store);            /* timer: what was read ahead and is not used */
/* aside.c */
void aside_init(struct store *store);
void aside_watch(struct store *store);          /* one more maildrop is held */
void aside_next(void *store);                   /* timer */
/* reclaim.c: a deletion left work behind. */
void reclaim_start(struct store *store);
void reclaim_next(void *store);                 /* timer */
/* history.c */
void history_init(struct store *store);
void history_add(const struct drop *drop);      /* it ends, and something of it was retrieved */
void history_free(struct store *store);         /* writes what is left; the lanes are there still */
/* presence.c: a pg_events.notified */
void presence_notified(struct store *store, const char *channel, const char *text, int pid);

#endif
