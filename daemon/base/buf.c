/*
 * buf.c - the growing byte buffer. Owns its storage and nothing else; must
 * never leave a copy of its octets behind when it moves, as they may be a
 * password.
 */
#include "daemon/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { SMALLEST = 256 };

char *buf_reserve(struct buf *b, size_t more)
{
    size_t left = buf_left(b);

    if (b->data != NULL && more < b->cap - b->len)
        return b->data + b->len;
    ASSERT(more < SIZE_MAX / 4 && left < SIZE_MAX / 4);
    size_t need = left + more + 1;
    if (b->data != NULL && need <= b->cap && b->at > left) {
        /* The front half is done with: moving down costs no more than was read since the last move. */
        memcpy(b->data, b->data + b->at, left + 1);
    } else {
        size_t cap = b->cap > SMALLEST ? b->cap : SMALLEST;
        while (cap < need)
            cap *= 2;
        /* Not realloc(): that frees the old place with the octets still in it. */
        char *data = mem_alloc(cap);
        data[left] = '\0';
        if (b->data != NULL) {
            memcpy(data, b->data + b->at, left);
            secret_wipe(b->data, b->cap);
            mem_free(b->data);
        }
        b->data = data;
        b->cap = cap;
    }
    b->at = 0;
    b->len = left;
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    if (n == 0)
        return;
    ASSERT(b->data != NULL && n < b->cap - b->len);
    b->len += n;
    b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    buf_commit(b, len);
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);

    /* One go for what fits into what is there anyway; a second one where it does not. */
    char *at = buf_reserve(b, 128);
    size_t room = b->cap - b->len;
    int n = vsnprintf(at, room, fmt, args);
    ASSERT(n >= 0);
    if ((size_t)n >= room)
        vsnprintf(buf_reserve(b, (size_t)n), (size_t)n + 1, fmt, again);
    buf_commit(b, (size_t)n);
    va_end(again);
    va_end(args);
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= buf_left(b));
    b->at += n;
    if (b->at == b->len)
        buf_clear(b);
}

void buf_clear(struct buf *b)
{
    b->at = b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = BUF_EMPTY;
}

void buf_wipe(struct buf *b)
{
    if (b->data != NULL)
        secret_wipe(b->data, b->cap);
    buf_free(b);
}
