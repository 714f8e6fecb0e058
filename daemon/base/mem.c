/*
 * mem.c - allocation that never fails, and the end of a process that broke a
 * promise of its own. Must never be asked for a size that a stranger chose
 * without a bound.
 */
#include "daemon/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"

static _Noreturn void out_of_memory(size_t n, size_t size)
{
    log_error(NULL, "out of memory allocating %zu times %zu octets", n, size);
    log_finish();
    abort();
}

void *mem_alloc(size_t size)
{
    /* malloc(0) may be NULL, which would look like a failure. */
    void *p = malloc(size > 0 ? size : 1);
    if (p == NULL)
        out_of_memory(1, size);
    return p;
}

void *mem_zalloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_array(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);   /* calloc checks the product */
    if (p == NULL)
        out_of_memory(n, size);
    return p;
}

void *mem_resize(void *p, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        out_of_memory(n, size);
    void *q = realloc(p, total > 0 ? total : 1);
    if (q == NULL)
        out_of_memory(n, size);
    return q;
}

char *mem_str(const char *s)
{
    return mem_strn(s, strlen(s));
}

char *mem_strn(const char *s, size_t len)
{
    if (len == SIZE_MAX)
        out_of_memory(len, 1);
    char *copy = mem_alloc(len + 1);
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

_Noreturn void mem_exhausted(size_t size)
{
    out_of_memory(1, size);
}

void mem_free(void *p)
{
    free(p);
}

void mem_drop(char **text)
{
    mem_free(*text);
    *text = NULL;
}

void mem_error(char **error_r, const char *fmt, ...)
{
    char text[1024], *before = *error_r;    /* which may be one of the arguments */
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    *error_r = mem_str(text);
    mem_free(before);
}

_Noreturn void mem_assert_failed(const char *what, const char *file, int line)
{
    log_error(NULL, "assertion failed at %s:%d: %s", file, line, what);
    log_finish();
    abort();
}
