/*
 * pg.h - questions to the database: a few asynchronous connections ("lanes")
 * in libpq's pipeline mode.
 *
 * A session is bound to one lane and everything it asks goes over it, in
 * order, each question with a Sync of its own, so that an error aborts only
 * itself. A binding names one connection for its life: when that connection is
 * lost, the binding is dead for ever, also after the lane was connected again.
 *
 * Nothing here knows what a maildrop is.
 */
#ifndef POSTERN_STORAGE_PG_H
#define POSTERN_STORAGE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/sql.h"
#include "storage/pg/pg_row.h"
#include "storage/pg/status.h"

struct loop;
struct pg;
struct pg_lane;

/*
 * What is asked: who makes a pg has a table of its own statements, made of a
 * .def file by PG_STATEMENT_TYPES and PG_STATEMENT_ROW (storage/README).
 */
struct pg_statement {
    const char *name, *sql;
    const Oid *args, *columns;      /* types of the parameters and of the columns, which each answer has exactly */
    int arg_count, column_count;
    bool apart;                     /* pg_statements() does not count it */
    bool once;                      /* not worth preparing */
    const char *group_name, *group_sql;     /* of its group form (pg_group.c); NULL: it has none */
    const char *group_undo;         /* takes back what a group that failed may have left behind; NULL: nothing can */
};
struct pg_statements {
    const struct pg_statement *at;
    size_t count;
    bool long_answers;              /* of many messages: lanes make room for them (pg_setup.c) */
};
#define LIST(...) __VA_ARGS__
#define PG_STATEMENT_TYPES_GROUPED(name, sql, args, columns, group, undo) \
    PG_STATEMENT_TYPES(name, sql, LIST(args), LIST(columns))
#define PG_STATEMENT_TYPES(name, sql, args, columns) \
    static const Oid args_of_##name[] = { 0, args }; \
    static const Oid columns_of_##name[] = { 0, columns };   /* from 1, as there may be none */
#define PG_STATEMENT_ROW(name, sql, args, columns) PG_STATEMENT_OF(name, sql, false)
#define PG_STATEMENT_ROW_APART(name, sql, args, columns) PG_STATEMENT_OF(name, sql, true)
#define PG_STATEMENT_OF(name, sql, is_apart) { PG_STATEMENT_BASE(name, sql), .apart = is_apart },
#define PG_STATEMENT_ROW_GROUPED(name, sql, args, columns, group, undo) \
    { PG_STATEMENT_BASE(name, sql), .group_name = #name "_GROUP", .group_sql = group, .group_undo = undo },
#define PG_STATEMENT_BASE(statement, text) \
    .name = #statement, .sql = text, .args = args_of_##statement + 1, .columns = columns_of_##statement + 1, \
    .arg_count = sizeof args_of_##statement / sizeof(Oid) - 1, \
    .column_count = sizeof columns_of_##statement / sizeof(Oid) - 1

/* Where a question to all workers comes. */
#define PG_ASK_CHANNEL "postern_ask"

struct pg_events {
    /* A lane was lost: pg_alive() is false from now on for what was bound to it. Before its questions are answered. */
    void (*lost)(void *owner);
    /* What pg_bind() answers may have changed from PG_WAIT. */
    void (*decided)(void *owner);
    /*
     * A notification on PG_ASK_CHANNEL or on pg_reply_channel(), of the backend
     * `pid`. Anybody who may connect to the database can send it. NULL: not listened for.
     */
    void (*notified)(void *owner, const char *channel, const char *text, int pid);
    void (*wrong_schema)(void *owner, const char *text);
};

/* What an operator says of the connections. Times in milliseconds. */
struct pg_wants {
    size_t lanes;
    uint64_t statement_timeout, retry;
    enum sql_commit commit;
    size_t together;            /* sessions that one lane gets before another is used; 0 and 1: spread evenly */
    bool quick;                 /* the last lane of several is for pg_bind_quick() */
};
/*
 * Starts to connect and returns. conninfo and wants are copied; statements,
 * which each lane prepares, and events are not.
 */
struct pg *pg_new(struct loop *loop, const char *conninfo, const struct pg_statements *statements,
                  const struct pg_wants *wants, const struct pg_events *events, void *owner);
/*
 * At once after pg_new(): there will be one session. Nothing is made ready that
 * it may never ask for, as that takes several times what its statements do; no
 * connection either, before pg_bind().
 */
void pg_serve_one(struct pg *pg);
/* Answers what is in flight with DB_LOST. Never from within an answer or an event. */
void pg_free(struct pg **pg);

size_t pg_lanes_up(const struct pg *pg);
/* Those that have a question under way. */
size_t pg_lanes_busy(const struct pg *pg);
/* Questions that were asked, the set-up of lanes and those that are `apart` not counted. */
unsigned long long pg_statements(const struct pg *pg);

/* A binding; all zero is a dead one. */
struct pg_ref {
    struct pg_lane *lane;
    uint64_t generation;
};
enum pg_bound {
    PG_BOUND,   /* to a lane that is not busy; several to one, so that their questions meet */
    PG_WAIT,    /* the first attempt to connect is still under way: `decided` will tell; or all lanes are kept alone */
    PG_AWAY,    /* no lane is up */
    PG_WRONG,   /* the same, and the schema is not ours */
};
enum pg_bound pg_bind(struct pg *pg, struct pg_ref *ref_r);
/*
 * The same for a question that writes nothing: so that it need not wait until what others write is on
 * the disk there is a lane that pg_bind() gives only while it has no other.
 */
enum pg_bound pg_bind_quick(struct pg *pg, struct pg_ref *ref_r);
void pg_unbind(struct pg_ref ref);
/*
 * One more connection, which pg_bind() never gives, for sessions that rest: it
 * is made when it is first asked for. False while it is not up. It counts in
 * none of the numbers above.
 */
bool pg_bind_aside(struct pg *pg, struct pg_ref *ref_r);
size_t pg_bound_aside(const struct pg *pg);
/*
 * One more, which pg_bind() never gives, for work whose length a client chooses:
 * a statement may take PG_ALONE_MS on it, and nobody else waits meanwhile. It is
 * made when it is asked for, and closed when nobody is bound to it any more.
 * PG_WAIT: it is being made, `decided` will tell. PG_AWAY: that has failed; who
 * asks again has it tried again. It counts in none of the numbers above.
 */
enum { PG_ALONE_MS = 3600000 };
enum pg_bound pg_bind_alone(struct pg *pg, struct pg_ref *ref_r);
/* Unbinds *ref and binds it to the connection of `to`, which is alive. */
void pg_rebind(struct pg_ref *ref, struct pg_ref to);
bool pg_alive(struct pg_ref ref);
/*
 * A number of the server behind it: what was learned of one, a listing say, does not hold on one of another
 * number, which may be a standby that was promoted and had not heard of everything. 0 if ref is dead.
 */
uint64_t pg_server(struct pg_ref ref);
int pg_backend_pid(struct pg_ref ref);      /* 0 if it is dead */
/*
 * A channel of this process alone, listened to from the first call on; it
 * holds as long as pg. What is asked of pg_listener() is asked behind that.
 */
const char *pg_reply_channel(struct pg *pg);
/* The lane that listens, not bound; a dead one while there is none. */
struct pg_ref pg_listener(const struct pg *pg);
/*
 * For a transaction of several questions: until pg_share() this lane is given
 * to nobody else. False where no lane would be left to the others. Who is bound to it
 * already may yet ask: see pg_is_alone().
 */
bool pg_keep_alone(struct pg *pg, struct pg_ref ref);
/* Kept alone, and nobody is bound to it any more who was before: from now on a transaction may begin. */
bool pg_is_alone(struct pg_ref ref);
void pg_share(struct pg_ref ref);

/*
 * Called once for each question, from the loop, in the order of asking for one
 * binding. res belongs to the callee (PQclear) and is not NULL if and only if
 * status is DB_OK; it then has the declared columns, and the transaction is
 * committed. Other values: DB_RETRY, DB_LOST (also: the lane was lost on the
 * way, with an unknown outcome), DB_BUG; each is logged.
 */
typedef void pg_answer(void *arg, enum db_status status, PGresult *res);
/* In such a call: the SQLSTATE of the error that status stands for; empty where the database did not give one. */
const char *pg_sqlstate(const struct pg *pg);

/*
 * In such a call, with DB_OK: somebody cancelled the wait for the synchronous
 * standby. It is committed on this server, but may be lost with it: not certain.
 */
bool pg_unconfirmed(const struct pg *pg);
/* In such a call: the time since the question was asked, in microseconds; 0 if it was not sent. */
uint64_t pg_took_us(const struct pg *pg);

/* statement: its place in the table. The values of args are copied before it returns. */
void pg_ask(struct pg *pg, struct pg_ref ref, size_t statement, const struct pg_args *args, pg_answer *answer,
            void *arg);
/*
 * The same for a statement with a group form, where this question may be asked together with those of others
 * (pg_group.h). What the same binding asks behind it may be answered first.
 */
void pg_ask_grouped(struct pg *pg, struct pg_ref ref, size_t statement, const struct pg_args *args, pg_answer *answer,
                    void *arg);
/* Asks nothing; answers later from the loop, with this status and no result. */
void pg_later(struct pg *pg, enum db_status status, pg_answer *answer, void *arg);
/*
 * For an end, when the loop has stopped: waits at most so many milliseconds for
 * an answer on any lane, and gives those that came. False: none is waited for,
 * or none came.
 */
bool pg_wait(struct pg *pg, int ms);
/* Gives the connection up: what it holds in the database is released. */
void pg_break(struct pg_ref ref, const char *why);

#endif
