/*
 * pg_row.h - typed values in and out of libpq, always in binary format.
 *
 * That an answer has the columns that its statement declares is
 * checked once for each answer (see pg.h); these check what is in them. A
 * value that is not what was declared makes the question end in DB_BUG.
 */
#ifndef POSTERN_STORAGE_PG_ROW_H
#define POSTERN_STORAGE_PG_ROW_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

/* OIDs of PostgreSQL's own types: fixed for ever (pg_type.dat). */
enum {
    PG_BOOL = 16, PG_BYTEA = 17, PG_INT8 = 20, PG_INT4 = 23, PG_TEXT = 25, PG_BOOL_ARRAY = 1000, PG_BYTEA_ARRAY = 1001,
    PG_INT4_ARRAY = 1007, PG_TEXT_ARRAY = 1009, PG_INT8_ARRAY = 1016, PG_TIMESTAMPTZ = 1184, PG_VOID = 2278,
};

/* timestamptz is microseconds since 2000-01-01 on the wire; since 1970-01-01 everywhere else. Seconds in between. */
#define PG_EPOCH INT64_C(946684800)

/* False where the value is null or of another size. */
bool pg_get_bool(const PGresult *res, int row, int column, bool *value_r);
bool pg_get_int4(const PGresult *res, int row, int column, int32_t *value_r);
bool pg_get_int8(const PGresult *res, int row, int column, int64_t *value_r);
bool pg_get_time(const PGresult *res, int row, int column, int64_t *value_r);     /* timestamptz */
/* The number of a mailbox: an int8 above zero. */
bool pg_get_mailbox(const PGresult *res, int row, int column, struct mailbox_ref *mailbox_r);
/* False where the value is null. Points into res. */
bool pg_get_bytes(const PGresult *res, int row, int column, struct span *value_r);

/* The parameters of one statement, in order. What is not a number is borrowed until it was sent. */
enum { PG_ARGS_MAX = 16 };
struct pg_args {
    int count;
    const char *values[PG_ARGS_MAX];
    int lengths[PG_ARGS_MAX];
    char numbers[PG_ARGS_MAX][8];
};
#define PG_ARGS_EMPTY ((struct pg_args){ .count = 0 })
void pg_arg_null(struct pg_args *args);
void pg_arg_bool(struct pg_args *args, bool value);
void pg_arg_int4(struct pg_args *args, int32_t value);
void pg_arg_int8(struct pg_args *args, int64_t value);
void pg_arg_mailbox(struct pg_args *args, const struct mailbox_ref *mailbox);     /* its number */
void pg_arg_bytes(struct pg_args *args, struct span value);     /* text, arrays */

#endif
