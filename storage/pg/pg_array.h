/*
 * pg_array.h - PostgreSQL's binary form of one-dimensional arrays.
 *
 * Reading trusts nothing: every length is checked against what is there, so
 * that a fuzzer may feed it anything.
 */
#ifndef POSTERN_STORAGE_PG_ARRAY_H
#define POSTERN_STORAGE_PG_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/mailbox_ref.h"
#include "daemon/base/span.h"

struct pg_array {
    struct span rest;       /* after the element that was read last */
    uint32_t count;         /* elements in all: never more than the octets could hold */
    uint32_t left;          /* elements that were not read yet */
};

/* False: not an array of this element type with one dimension (an empty array has none). */
bool pg_array_start(struct pg_array *a, struct span data, uint32_t element_type);
/* The next element: 1 and its octets, 0 it is null, -1 there is none or it is broken. */
int pg_array_next(struct pg_array *a, struct span *value_r);
/* The next element of an int8[]; false if it is null, none or broken. */
bool pg_array_int8(struct pg_array *a, int64_t *value_r);
/* The same for the number of a mailbox: above zero. */
bool pg_array_mailbox(struct pg_array *a, struct mailbox_ref *mailbox_r);
/* All elements were read, and nothing follows them. */
bool pg_array_ended(const struct pg_array *a);

/* Writing an int8[]: the head, then `count` elements. */
void pg_array_put_head(struct buf *out, uint32_t count);
void pg_array_put_int8(struct buf *out, int64_t value);
void pg_array_put_mailbox(struct buf *out, const struct mailbox_ref *mailbox);    /* its number */
/* Where it is known at the end how many there are, or for other types: the head of none, elements, their count. */
void pg_array_begin(struct buf *out, uint32_t element_type);
void pg_array_put_int4(struct buf *out, int32_t value);
void pg_array_put_time(struct buf *out, int64_t value);         /* timestamptz; microseconds since 1970 */
void pg_array_put_bytes(struct buf *out, struct span value);    /* text and bytea */
void pg_array_put_null(struct buf *out);
/* All elements of another array that were not read yet, which has the same element type. */
void pg_array_put_rest(struct buf *out, const struct pg_array *a);
void pg_array_set_count(struct buf *out, uint32_t count);

#endif
