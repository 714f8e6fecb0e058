/*
 * span.h - a borrowed view of bytes.
 *
 * Parsers hand these out: a pointer and a length into memory that somebody
 * else owns. What came from a network is never a C string; a span may hold any
 * byte, NUL too. Who lends one says until when it holds.
 */
#ifndef POSTERN_BASE_SPAN_H
#define POSTERN_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *at;
    size_t len;
};

#define SPAN_OF(literal) ((struct span){ (literal), sizeof(literal) - 1 })

/* A view of a C string (of ours: configuration, log, SQL text). NULL gives an empty span. */
static inline struct span span_str(const char *s)
{
    return (struct span){ s != NULL ? s : "", s != NULL ? strlen(s) : 0 };
}

static inline bool span_is(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* The same, ASCII letters compared without case (keywords of RFC 1939 section 3). */
static inline bool span_is_nocase(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

#endif
