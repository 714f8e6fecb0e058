/*
 * db.h - the blocking connection of posternctl, and its questions.
 *
 * Values go as parameters only. Who is told NULL has had the reason printed,
 * and returns db_end().
 */
#ifndef POSTERN_ADMIN_DB_H
#define POSTERN_ADMIN_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "daemon/base/buf.h"
#include "daemon/base/mailbox_ref.h"

enum ctl_exit db_connect(struct ctl *c);
void db_close(struct ctl *c);
/* The version of the schema; 0 if there is none; -1 after a message. */
int db_schema_version(struct ctl *c);
/* What is to be said of the database's collation (storage/pg/collation.h), to mem_free(); NULL if nothing. */
char *db_collation(struct ctl *c);
/* What keeps maildrop locks from others: postern.locks_are_ours(). False after a message. */
bool db_locks_are_ours(struct ctl *c, bool *ours_r);
/* What is to be said where they are not. */
extern const char db_locks_advice[];
/* CTL_DONE if it is the one that this program was made for. */
enum ctl_exit db_need_schema(struct ctl *c);

/*
 * Parameters of one statement. What is lent must live until it was sent. Unlike
 * those of lanes (pg_row.h) nobody declares their types, so numbers go as text,
 * which fits whatever the function has there; arrays are binary (pg_array.h).
 */
enum { ARGS_MAX = 8 };
struct args {
    int n;
    const char *values[ARGS_MAX];
    int lengths[ARGS_MAX];
    int formats[ARGS_MAX];
    char numbers[ARGS_MAX][24];
};
#define ARGS_NONE ((struct args){ .n = 0 })

void args_text(struct args *a, const char *text);       /* lent; NULL is null */
void args_int(struct args *a, int64_t n);
void args_mailbox(struct args *a, const struct mailbox_ref *mailbox);   /* its number */
void args_bool(struct args *a, bool b);
void args_null(struct args *a);
void args_binary(struct args *a, const struct buf *b);  /* lent */

/*
 * One statement. The functions of the schema postern that it names are those of postern_tenant where the operator of
 * a tenant asks. NULL after a message: "could not WHAT: ...", or the text of one of our own functions as it is.
 * On a terminal, standard error shows what is being done if it takes long.
 */
PGresult *db_ask(struct ctl *c, const char *what, const char *sql, const struct args *a);
/* The same, with the answer in binary format. */
PGresult *db_ask_binary(struct ctl *c, const char *what, const char *sql, const struct args *a);
/*
 * The same for as many rows as there are: row() is called with each when it comes, and at the end
 * with an answer that has none, so that memory does not grow with their number. Both have the
 * columns, in text format, and are lent. False: row() has said why it wants no more, and the
 * question is cancelled. The server answers from one snapshot, which it keeps to the end.
 */
typedef bool db_row(void *arg, const PGresult *res);
enum ctl_exit db_each(struct ctl *c, const char *what, const char *sql, const struct args *a, db_row *row, void *arg);
/* The same for an answer that does not matter. */
enum ctl_exit db_call(struct ctl *c, const char *what, const char *sql, const struct args *a);
/* The same for one row of n int8 columns, none of them null. False after a message. */
bool db_numbers(struct ctl *c, const char *what, const char *sql, const struct args *a, int n, int64_t numbers_r[]);
/* Sends it alone, for who takes the answers by libpq: 1 for those in binary format. False: it could not. */
bool db_send(struct ctl *c, const char *sql, const struct args *a, int format);
/* Says why this answer is not what was asked for; returns how to end. */
enum ctl_exit db_failed(struct ctl *c, const char *what, const PGresult *res);
/* How to end after a question that failed: the connection may have gone. */
enum ctl_exit db_end(const struct ctl *c);
/* A statement without an answer (begin, commit). */
bool db_do(struct ctl *c, const char *what, const char *sql);

/* Columns of a binary answer; the caller knows their types, and that they are not null. */
int64_t db_int8(const PGresult *res, int row, int col);
struct mailbox_ref db_mailbox(const PGresult *res, int row, int col);
int32_t db_int4(const PGresult *res, int row, int col);
struct span db_bytes(const PGresult *res, int row, int col);
int64_t db_time(const PGresult *res, int row, int col);         /* microseconds since 1970 */

#endif
