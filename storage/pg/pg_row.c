/*
 * pg_row.c - typed values in and out of libpq.
 */
#include "storage/pg/pg_row.h"

#include <endian.h>
#include <limits.h>

#include "daemon/base/mem.h"

/* The value, if it is there and has this size. */
static const char *get_sized(const PGresult *res, int row, int column, int size)
{
    if (PQgetisnull(res, row, column) || PQgetlength(res, row, column) != size)
        return NULL;
    return PQgetvalue(res, row, column);
}

bool pg_get_bool(const PGresult *res, int row, int column, bool *value_r)
{
    const char *raw = get_sized(res, row, column, 1);
    if (raw == NULL)
        return false;
    *value_r = *raw != 0;
    return true;
}

bool pg_get_int4(const PGresult *res, int row, int column, int32_t *value_r)
{
    const char *raw = get_sized(res, row, column, 4);
    if (raw == NULL)
        return false;
    uint32_t v;
    memcpy(&v, raw, sizeof v);
    *value_r = (int32_t)be32toh(v);
    return true;
}

bool pg_get_int8(const PGresult *res, int row, int column, int64_t *value_r)
{
    const char *raw = get_sized(res, row, column, 8);
    if (raw == NULL)
        return false;
    uint64_t v;
    memcpy(&v, raw, sizeof v);
    *value_r = (int64_t)be64toh(v);
    return true;
}

bool pg_get_time(const PGresult *res, int row, int column, int64_t *value_r)
{
    if (!pg_get_int8(res, row, column, value_r))
        return false;
    *value_r += PG_EPOCH * 1000000;
    return true;
}

bool pg_get_mailbox(const PGresult *res, int row, int column, struct mailbox_ref *mailbox_r)
{
    return pg_get_int8(res, row, column, &mailbox_r->number) && mailbox_r->number > 0;
}

bool pg_get_bytes(const PGresult *res, int row, int column, struct span *value_r)
{
    if (PQgetisnull(res, row, column))
        return false;
    *value_r = (struct span){ PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column) };
    return true;
}

static void add(struct pg_args *args, const char *value, size_t len)
{
    ASSERT(args->count < PG_ARGS_MAX && len <= INT_MAX);
    args->values[args->count] = value;
    args->lengths[args->count] = (int)len;
    args->count++;
}

void pg_arg_null(struct pg_args *args)
{
    add(args, NULL, 0);
}

void pg_arg_bool(struct pg_args *args, bool value)
{
    add(args, args->numbers[args->count], 1);
    args->numbers[args->count - 1][0] = value ? 1 : 0;
}

void pg_arg_int4(struct pg_args *args, int32_t value)
{
    uint32_t v = htobe32((uint32_t)value);
    add(args, args->numbers[args->count], sizeof v);
    memcpy(args->numbers[args->count - 1], &v, sizeof v);
}

void pg_arg_int8(struct pg_args *args, int64_t value)
{
    uint64_t v = htobe64((uint64_t)value);
    add(args, args->numbers[args->count], sizeof v);
    memcpy(args->numbers[args->count - 1], &v, sizeof v);
}

void pg_arg_mailbox(struct pg_args *args, const struct mailbox_ref *mailbox)
{
    pg_arg_int8(args, mailbox->number);
}

void pg_arg_bytes(struct pg_args *args, struct span value)
{
    add(args, value.at, value.len);
}
