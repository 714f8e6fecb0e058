/*
 * pg_array.c - the layout is that of array_send() in PostgreSQL:
 *
 *   int32 dimensions, int32 has-nulls, int32 element type,
 *   for each dimension int32 elements, int32 lower bound,
 *   for each element int32 length (-1 for null) and its octets
 *
 * all in network order.
 */
#include "storage/pg/pg_array.h"

#include <endian.h>

#include "daemon/base/mem.h"
#include "storage/pg/pg_row.h"

enum { HAS_NULLS_AT = 4, COUNT_AT = 12 };

static bool take_u32(struct span *rest, uint32_t *value_r)
{
    if (rest->len < sizeof *value_r)
        return false;
    memcpy(value_r, rest->at, sizeof *value_r);
    *value_r = be32toh(*value_r);
    rest->at += sizeof *value_r;
    rest->len -= sizeof *value_r;
    return true;
}

bool pg_array_start(struct pg_array *a, struct span data, uint32_t element_type)
{
    uint32_t dimensions, nulls, type, lower;

    a->rest = data;
    a->count = a->left = 0;
    if (!take_u32(&a->rest, &dimensions) || !take_u32(&a->rest, &nulls) || !take_u32(&a->rest, &type))
        return false;
    if (dimensions > 1 || nulls > 1 || type != element_type)
        return false;
    if (dimensions == 0)
        return true;
    if (!take_u32(&a->rest, &a->count) || !take_u32(&a->rest, &lower))
        return false;
    /* Each element has a length at least: what is allocated for `count` of them is bounded by what came. */
    if (a->count > a->rest.len / sizeof(uint32_t)) {
        a->count = 0;
        return false;
    }
    a->left = a->count;
    return true;
}

int pg_array_next(struct pg_array *a, struct span *value_r)
{
    uint32_t len;

    if (a->left == 0 || !take_u32(&a->rest, &len))
        return -1;
    a->left--;
    if (len == UINT32_MAX)
        return 0;
    if (len > a->rest.len)
        return -1;
    *value_r = (struct span){ a->rest.at, len };
    a->rest.at += len;
    a->rest.len -= len;
    return 1;
}

bool pg_array_int8(struct pg_array *a, int64_t *value_r)
{
    struct span value;

    if (pg_array_next(a, &value) != 1 || value.len != sizeof *value_r)
        return false;
    uint64_t raw;
    memcpy(&raw, value.at, sizeof raw);
    *value_r = (int64_t)be64toh(raw);
    return true;
}

bool pg_array_mailbox(struct pg_array *a, struct mailbox_ref *mailbox_r)
{
    return pg_array_int8(a, &mailbox_r->number) && mailbox_r->number > 0;
}

bool pg_array_ended(const struct pg_array *a)
{
    return a->left == 0 && a->rest.len == 0;
}

static void put_u32(struct buf *out, uint32_t value)
{
    value = htobe32(value);
    buf_add(out, &value, sizeof value);
}

static void put_head(struct buf *out, uint32_t element_type, uint32_t count)
{
    put_u32(out, 1);
    put_u32(out, 0);
    put_u32(out, element_type);
    put_u32(out, count);
    put_u32(out, 1);
}

void pg_array_put_head(struct buf *out, uint32_t count)
{
    put_head(out, PG_INT8, count);
}

void pg_array_put_int8(struct buf *out, int64_t value)
{
    struct {
        uint32_t len_be;
        uint64_t value_be;
    } __attribute__((packed)) element = { htobe32(8), htobe64((uint64_t)value) };
    buf_add(out, &element, sizeof element);
}

void pg_array_put_mailbox(struct buf *out, const struct mailbox_ref *mailbox)
{
    pg_array_put_int8(out, mailbox->number);
}

void pg_array_put_int4(struct buf *out, int32_t value)
{
    put_u32(out, sizeof value);
    put_u32(out, (uint32_t)value);
}

void pg_array_put_time(struct buf *out, int64_t value)
{
    pg_array_put_int8(out, value - PG_EPOCH * 1000000);
}

void pg_array_begin(struct buf *out, uint32_t element_type)
{
    buf_clear(out);
    put_head(out, element_type, 0);
}

void pg_array_put_bytes(struct buf *out, struct span value)
{
    ASSERT(value.len <= INT32_MAX);
    put_u32(out, (uint32_t)value.len);
    buf_add(out, value.at, value.len);
}

void pg_array_put_null(struct buf *out)
{
    put_u32(out, UINT32_MAX);
    memcpy(out->data + out->at + HAS_NULLS_AT, &(uint32_t){ htobe32(1) }, sizeof(uint32_t));
}

void pg_array_put_rest(struct buf *out, const struct pg_array *a)
{
    buf_add(out, a->rest.at, a->rest.len);
}

void pg_array_set_count(struct buf *out, uint32_t count)
{
    ASSERT(buf_left(out) >= COUNT_AT + sizeof count);
    count = htobe32(count);
    memcpy(out->data + out->at + COUNT_AT, &count, sizeof count);
}
