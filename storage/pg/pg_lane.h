/*
 * pg_lane.h - what pg.c and pg_lane.c share, and nobody else sees.
 */
#ifndef POSTERN_STORAGE_PG_LANE_H
#define POSTERN_STORAGE_PG_LANE_H

#include "storage/pg/pg.h"

struct timer;
struct watch;

enum { PG_CHANNEL_SIZE = 32, PG_WHY_SIZE = 512, PG_AWAY_REASONS = 4, PG_SPARE = 3 };

enum lane_state {
    LANE_REST,      /* no connection; the timer says when to try again */
    LANE_CONNECT,   /* libpq is at it */
    LANE_SETUP,     /* connected: version, settings, statements are under way */
    LANE_UP,
};

struct question {
    pg_answer *answer;
    void *arg;
    enum pg_statement statement;
    uint64_t asked_us;
};

/* Those that were sent and not answered, oldest first. */
struct question_ring {
    struct question *at;
    size_t first, count, cap;
};

struct pg_lane {
    struct pg *pg;
    unsigned number;            /* from 1, for the log */
    enum lane_state state;
    bool broken;                /* to be given up in the next turn */
    bool tried;                 /* the first attempt to connect came to an end */
    bool complained;            /* that it is away was logged, or counted */
    bool said;                  /* it was logged */
    bool listens;               /* for notifications */
    bool alone;                 /* pg_keep_alone() */
    uint64_t generation;        /* of the connection; raised when one is lost */
    size_t bound;               /* sessions */
    size_t first_host;          /* of the list, that is tried first; raised when one said nothing */
    uint64_t pause;             /* before the last attempt */
    char why[PG_WHY_SIZE];      /* it is broken */
    char parting[200];          /* why the server ends the connection, in its words; empty: it did not say */
    int reserve;                /* a descriptor for its next connection, or -1 */

    PGconn *conn;
    struct watch *watch;
    struct timer *timer;        /* next attempt; deadline of an attempt; watchdog while up */

    struct question_ring asked;
    uint64_t answered;          /* questions in all */
    uint64_t oldest_since;      /* since when the oldest question is the oldest */
    PGresult *res;              /* of the oldest question, until its Sync is answered */
    enum db_status status;
    char sqlstate[6];           /* of the error that status stands for */
    unsigned setup_step;
};

/* A reason for which lanes were lost: said once a minute, counted in between. */
struct pg_away {
    char why[PG_WHY_SIZE];
    uint64_t at;                /* of the last line; 0: none */
    unsigned more;              /* since then */
};

struct pg {
    struct loop *loop;
    char *conninfo;
    size_t hosts;               /* that it names */
    bool wants_writable;        /* it asks for a server that can be written to */
    enum pg_set set;
    bool one_session;           /* pg_serve_one() */
    char sqlstate[6];           /* pg_sqlstate() */
    uint64_t took_us;           /* pg_took_us() */
    uint64_t statement_timeout, retry;
    const struct pg_events *events;
    void *owner;

    struct pg_lane *lanes;
    size_t count;
    struct pg_lane *aside;      /* one more, behind them; without a timer until it is started */
    bool freeing;
    char reply_channel[PG_CHANNEL_SIZE];
    bool hears_replies;         /* pg_reply_channel() was asked for */
    int wrong_version;          /* that was found last; -1 while it was never wrong */
    unsigned long long statements;

    struct later { pg_answer *answer; void *arg; enum db_status status; } *later;
    size_t later_count, later_cap;
    struct timer *later_timer;

    uint64_t errors_since;      /* start of the time in which errors are counted */
    unsigned errors;

    struct pg_away away[PG_AWAY_REASONS];
    struct timer *away_timer;
    int spare[PG_SPARE];        /* descriptors for what libpq opens on the way; -1: none */
};

/* pg_lane.c */
void lane_start(struct pg_lane *lane);
void lane_end(struct pg_lane *lane);        /* with pg->freeing set */
void lane_send(struct pg_lane *lane, const struct question *q, const struct pg_args *args);
void lane_listen(struct pg_lane *lane);      /* to what there is to be listened to */
void lane_listen_to(struct pg_lane *lane, const char *channel);
void lane_break(struct pg_lane *lane, const char *why);
void lane_fail(struct pg_lane *lane, const char *why);
/* The same, and it is tried again after the longest pause: waiting alone does not help. */
void lane_give_up(struct pg_lane *lane, const char *why);
bool lane_flush(struct pg_lane *lane);
void lane_is_up(struct pg_lane *lane);
/* What the loop would call: the connection can be read, or (LOOP_WRITE) written to. */
void lane_event(void *lane, int fd, unsigned events);

/* pg_setup.c: a connection that is there; and what it answers. */
void lane_setup(struct pg_lane *lane);
void lane_read_setup(struct pg_lane *lane);

/* pg_away.c */
/* Logs lane->why, or counts it where the same was logged less than a minute ago: then false. */
bool pg_say_away(struct pg_lane *lane, bool was_up);
void pg_away_due(void *pg);                  /* timer */
/* If this error or notice says that the server ends the connection, it is remembered. */
void lane_note_parting(struct pg_lane *lane, const PGresult *res);
/* Looks for it in what has come. */
void lane_hear_parting(struct pg_lane *lane);
/*
 * Takes and gives back the descriptor of a lane that is not connected, and those for the time
 * within a call of libpq.
 */
void lane_reserve(struct pg_lane *lane);
void lane_use_reserve(struct pg_lane *lane);
void pg_reserve(struct pg *pg);
void pg_use_reserve(struct pg *pg);

/* pg.c: types of a statement, for preparing and checking. */
struct statement {
    const char *name, *sql;
    const Oid *args, *columns;
    int arg_count, column_count;
};
extern const struct statement pg_statement_table[PG_STATEMENTS];
void pg_lane_up(struct pg_lane *lane);
void pg_lane_lost(struct pg_lane *lane);
void pg_found_version(struct pg *pg, int version);
/* An error of the database: logged, not more than a few in ten seconds, and what it means for the asker. */
enum db_status pg_error(struct pg *pg, const PGresult *res, const char *what);

#endif
