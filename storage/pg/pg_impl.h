/*
 * pg_impl.h - a pg and its lanes from within, for the pg_*.c files and nobody
 * else. What one of them alone needs is a struct with the name of its file.
 */
#ifndef POSTERN_STORAGE_PG_IMPL_H
#define POSTERN_STORAGE_PG_IMPL_H

#include "daemon/base/metrics.h"
#include "daemon/base/primary.h"
#include "storage/pg/pg.h"

struct timer;
struct watch;

enum { PG_CHANNEL_SIZE = 32, PG_SERVER_SIZE = 48, PG_WHY_SIZE = 512, PG_AWAY_REASONS = 4, PG_SPARE = 3,
       PG_COLUMNS_MAX = 12, PG_MORE_LANES = 3 /* aside, alone, control */ };

enum lane_state {
    LANE_REST,      /* no connection; the timer says when to try again */
    LANE_CONNECT,   /* libpq is at it */
    LANE_SETUP,     /* connected: version, settings, statements are under way */
    LANE_UP,
};

struct question {
    pg_answer *answer;
    void *arg;
    const struct pg_statement *statement;   /* NULL: LISTEN */
    uint64_t asked_us;
    bool single;                /* for one session, and it was not to be asked with others */
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
    uint64_t generation;        /* of the connection; raised when one is lost */
    PGconn *conn;
    int32_t pid;                /* of the backend, as it says itself: in front of it there may be a pooler */
    struct watch *watch;
    struct timer *timer;        /* next attempt; deadline of an attempt; watchdog while up */

    struct lane_answers {       /* pg_lane.c */
        struct question_ring asked;
        uint64_t answered;      /* questions in all */
        uint64_t oldest_since;  /* since when the oldest question is the oldest */
        uint64_t answered_us;   /* when the last one was answered */
        PGresult *res;          /* of the oldest question, until its Sync is answered */
        enum db_status status;
        char sqlstate[6];       /* of the error that status stands for */
        bool unconfirmed;       /* the server has warned of its commit */
    } answers;
    struct lane_connecting {    /* pg_lane.c */
        size_t first_host;      /* of the list, round and round, that is tried first; raised when one said nothing */
        uint64_t pause;         /* before the last attempt */
        bool timed_out;         /* the last attempt ended without a word */
        unsigned setup_step;    /* pg_setup.c */
        char server[PG_SERVER_SIZE];    /* postern.server_identity() */
    } connecting;
    struct gathering *gatherings;   /* by statement; pg_group.c */
    size_t gathered;            /* questions in them */
    struct primary_id primary;  /* the server behind it; before the answer of its set-up: none */
    uint64_t server;            /* pg_server(); pg_lanes.c */
    uint64_t statement_timeout; /* in milliseconds */
    bool on_demand;             /* pg_bind_alone(): not connected unless it is asked for */
    struct lane_use {           /* pg_lanes.c */
        size_t bound;           /* sessions */
        size_t busy_with;       /* questions under way that are not in groups */
        bool alone;             /* pg_keep_alone() */
        bool asked_for;         /* on_demand: it is to be connected */
        bool listens;           /* for notifications */
    } use;
    struct lane_away {          /* pg_away.c */
        bool complained;        /* that it is away was logged, or counted */
        bool said;              /* it was logged */
        char why[PG_WHY_SIZE];  /* it is broken */
        char parting[200];      /* why the server ends the connection, in its words; empty: it did not say */
        int reserve;            /* a descriptor for its next connection, or -1 */
    } away;
};

/* The group form of a statement; the one of the statement is NULL where it has none. */
struct pg_group_form {
    struct pg_statement statement, undo;
    Oid args[PG_ARGS_MAX], columns[PG_COLUMNS_MAX];
};

/* What the loop is to call before it waits. It may outlive the pg. */
struct pg_flush {
    struct pg *pg;
    bool due;
};

/* What a lane reports to those above it. */
struct pg_lane_events {
    void (*up)(struct pg_lane *lane);
    void (*lost)(struct pg_lane *lane);         /* before its questions are answered */
    void (*gone)(struct pg_lane *lane);         /* after that */
    void (*overdue)(struct pg_lane *lane);      /* its oldest question waits; once a second */
    void (*wrong_version)(struct pg *pg, int version);  /* of the schema */
};

struct pg {
    struct loop *loop;
    const struct pg_statements *statements;
    enum metric_longest *longest;   /* for each of them */
    const struct pg_events *events;
    void *owner;
    const struct pg_lane_events *lane_events;
    bool one_session;           /* pg_serve_one() */
    bool freeing;
    struct pg_wants wants;
    struct pg_server {
        char *conninfo;
        bool wants_writable;    /* it asks for a server that can be written to */
        char identity[PG_SERVER_SIZE];  /* of the lane that connected last */
        uint64_t number;        /* of servers that differed from the one before */
    } server;

    struct pg_lane *lanes;
    size_t count;
    /* Three more, behind them; without a timer until they are started. control: pg_hang.c */
    struct pg_lane *aside, *alone, *control;
    struct pg_group_form *forms;    /* one for each statement; pg_group.c */
    struct pg_flush *flush;
    char reply_channel[PG_CHANNEL_SIZE];
    bool hears_replies;         /* pg_reply_channel() was asked for */
    int wrong_version;          /* that was found last; -1 while it was never wrong */
    unsigned long long asked;   /* pg_statements() */

    struct pg_hang {            /* pg_hang.c */
        uint64_t since;         /* when a cheap question was asked, of which nothing is known yet; 0: none */
        uint64_t since_us;      /* the same by clock_us() */
        uint64_t heard_us;      /* when the newest question was asked that got an answer */
        uint64_t again, looked; /* no other one before; the last look */
    } hang;
    struct pg_told {            /* of the answer that is being given */
        char sqlstate[6];       /* pg_sqlstate() */
        uint64_t took_us;       /* pg_took_us() */
        bool unconfirmed;       /* pg_unconfirmed() */
    } told;
    struct pg_laters {          /* pg_lanes.c */
        struct later { pg_answer *answer; void *arg; enum db_status status; } *at;
        size_t count, cap;
        struct timer *timer;
    } laters;
    struct pg_errors {          /* pg_error.c */
        uint64_t since;         /* start of the time in which errors are counted */
        unsigned count;
    } errors;
    struct pg_away {            /* pg_away.c */
        /* Reasons for which lanes were lost: each said once a minute, counted in between. */
        struct pg_reason {
            char why[PG_WHY_SIZE];
            uint64_t at;        /* of the last line; 0: none */
            unsigned more;      /* since then */
        } reasons[PG_AWAY_REASONS];
        struct timer *timer;
        int spare[PG_SPARE];    /* descriptors for what libpq opens on the way; -1: none */
    } away;
};

#endif
