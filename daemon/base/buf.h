/*
 * buf.h - a growing buffer of bytes, read from the front.
 *
 * Invariants: at <= len < cap once anything was added; [at, len) is unread;
 * data[len] is 0, so that the content of a buffer of ours can be shown to a
 * function that wants a C string. A buffer without storage (all zero) is a
 * valid empty one. Memory that runs out ends the process (see mem.h), so
 * callers bound what they put in.
 */
#ifndef POSTERN_BASE_BUF_H
#define POSTERN_BASE_BUF_H

#include "daemon/base/span.h"

struct buf {
    char *data;
    size_t at, len, cap;
};

#define BUF_EMPTY ((struct buf){ NULL, 0, 0, 0 })

/* What is unread; holds until the next call that changes the buffer. */
static inline struct span buf_span(const struct buf *b)
{
    return (struct span){ b->data != NULL ? b->data + b->at : "", b->len - b->at };
}
static inline size_t buf_left(const struct buf *b) { return b->len - b->at; }

/* Room for at least `more` octets after the data; returns where to write them. */
char *buf_reserve(struct buf *b, size_t more);
/* `n` octets were written where buf_reserve() said. */
void buf_commit(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The first n unread octets are done with. When nothing is left the storage is reused from its start. */
void buf_consume(struct buf *b, size_t n);
/* Forget the content, keep the storage. */
void buf_clear(struct buf *b);
/* Give the storage back; the buffer is empty and usable afterwards. */
void buf_free(struct buf *b);
/* The same, the storage overwritten first: for what may hold a password. */
void buf_wipe(struct buf *b);

#endif
