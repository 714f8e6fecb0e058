/*
 * client_request.h - the requests of a worker to its auth helpers: each is in
 * one state, and in the one list of that state. For client*.c only.
 *
 * Knows nobody who asks and no helper: who moves a request from one list to
 * another decides why.
 */
#ifndef POSTERN_AUTH_CLIENT_REQUEST_H
#define POSTERN_AUTH_CLIENT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "auth/login.h"
#include "auth/client/queue.h"

struct auth_result;
struct helper;
struct idmap;
struct loop;
struct timer;

enum request_state {
    REQUEST_NOWHERE,        /* in no list: on its way from one to the next */
    REQUEST_HELD,           /* it has yet to be told its lane */
    REQUEST_WAITING,        /* in the queue, for any helper */
    REQUEST_SETTLED,        /* its verdict is there and will be told in the next turn */
    REQUEST_SENT,           /* a helper has it */
    /* Of an exchange: */
    REQUEST_CHALLENGED,     /* the asker has the word, and nobody waits */
    REQUEST_PINNED,         /* for its helper: what goes on with an exchange no other can take */
    REQUEST_ORPHANED,       /* as REQUEST_CHALLENGED, but the helper has gone */
    /* Of a password, and of PLAIN: */
    REQUEST_UNCONFIRMED,    /* its verdict was told, and is to be confirmed; nobody waits */
    REQUEST_STATES,
};

TAILQ_HEAD(request_list, request);

/*
 * A list for each state: of a helper, those that it has or has to get, of the
 * client the others. The queue is one of its own.
 */
struct request_lists {
    struct request_list of[REQUEST_STATES];
};

struct request {
    uint64_t id;
    enum request_state state;
    struct request_lists *lists;    /* of whom it is in the list of its state; NULL in the queue */
    bool retried;
    bool may_challenge;             /* it is an exchange */
    bool uncached;                  /* asked once more, as a cached login was not confirmed */
    bool slow;                  /* most likely it takes a slow hash: of one not good before, or as a helper says */
    bool timed;                     /* somebody waits, until `deadline`: it is in `asked` */
    enum auth_verdict verdict;      /* of one that is settled */
    struct helper *helper;          /* of one that was sent */
    uint64_t exchange;              /* the helper's name for it; 0 before the first challenge */
    size_t spread;                  /* of the name */
    uint64_t deadline;
    void (*done)(void *owner, const struct auth_result *result);    /* NULL: nobody waits for it any more */
    void *owner;
    uint64_t line;                  /* in the queue, as request_rank() says */
    struct queue_place place;
    bool first;                     /* of one that is held: it has waited for its turn already */
    TAILQ_ENTRY(request) by_time, in_state;
    size_t len;
    unsigned char *frame;           /* holds the password */
};

struct requests {
    struct loop *loop;
    uint64_t deadline_ms;
    struct idmap *by_id;
    struct request_list asked;      /* all that somebody waits for: the first has the next deadline */
    struct request_lists lists;
    struct queue *waiting;
    struct timer *late, *soon;
};

void request_lists_init(struct request_lists *lists);

/* late(arg): a deadline has come. soon(arg): in the next turn after requests_soon(). */
void requests_init(struct requests *q, struct loop *loop, uint64_t deadline_ms,
                   void (*late)(void *arg), void (*soon)(void *arg), void *arg);
/* All that is there, with what it holds. Helpers, whose lists they may be in, end after it. */
void requests_end(struct requests *q);
void requests_soon(struct requests *q);
/* Sets the timer for the next deadline, if there is one. */
void requests_arm_late(struct requests *q);

/* In no list yet. home: what hashes to the helper that is asked where several have as little to do. */
struct request *request_new(struct requests *q, struct span home);
/* Out of all lists. Wipes what it holds. */
void request_free(struct requests *q, struct request *r);
/* Copies the frame; wipes the one before. */
void request_set_frame(struct request *r, const unsigned char *frame, size_t len);
void request_drop_frame(struct request *r);

/* Somebody waits for it, from now; nobody does. */
void request_time(struct requests *q, struct request *r);
void request_untime(struct requests *q, struct request *r);

/* Out of the list of its state, or the queue, if it is in one; and into one. */
void request_leave(struct requests *q, struct request *r);
void request_enter(struct request *r, struct request_lists *lists, enum request_state state);
/* This is its verdict, to be told in the next turn. */
void request_settle(struct requests *q, struct request *r, enum auth_verdict verdict);
/* Whose it is, for the queue. */
void request_rank(struct request *r, const struct auth_origin *origin);
/* At the end of its line; one that there is no room for is settled as AUTH_UNAVAILABLE, perhaps this one. */
void request_queue(struct requests *q, struct request *r);
/* Once more, with those of its line that take a slow hash, as a helper has said of it. */
void request_queue_slow(struct requests *q, struct request *r);
/* Before all others: it has waited for its turn already. */
void request_queue_first(struct requests *q, struct request *r);
/* The next one out of the queue, of this rank or a higher one; NULL if there is none. */
struct request *request_take(struct requests *q, enum queue_rank lowest);

#endif
