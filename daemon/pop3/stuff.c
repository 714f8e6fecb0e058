/*
 * stuff.c - byte-stuffing and the line count of TOP (see stuff.h).
 *
 * What is stored has CR LF line ends. Should a bare CR or LF have slipped in
 * all the same, a dot after it is stuffed too: clients differ in what they
 * take for a line end, and none may see a lone dot before the real one (Y04).
 */
#include "daemon/pop3/stuff.h"

static void start(struct stuff *st)
{
    *st = (struct stuff){ .before = '\r', .last = '\n' };
}

void stuff_whole(struct stuff *st)
{
    start(st);
}

void stuff_top(struct stuff *st, uint64_t lines)
{
    start(st);
    st->top = st->header = true;
    st->lines = lines;
}

/* The octet that stands `back` octets before part.at[at], which may have been in an earlier part. */
static char looking_back(const struct stuff *st, struct span part, size_t at, size_t back)
{
    if (at >= back)
        return part.at[at - back];
    return back - at == 1 ? st->last : st->before;
}

/* Is the line that ends with the LF at part.at[at] an empty one? */
static bool blank_line(const struct stuff *st, struct span part, size_t at)
{
    char c = looking_back(st, part, at, 1);

    return c == '\n' || (c == '\r' && looking_back(st, part, at, 2) == '\n');
}

struct span stuff_cut(struct stuff *st, struct span part)
{
    size_t at = 0;

    if (!st->top)
        return part;
    while (!st->enough) {
        const char *end;

        if (!st->header && st->lines == 0) {
            st->enough = true;
            break;
        }
        end = at < part.len ? memchr(part.at + at, '\n', part.len - at) : NULL;
        if (end == NULL)
            return part;
        at = (size_t)(end - part.at);
        if (!st->header)
            st->lines--;
        else if (blank_line(st, part, at))
            st->header = false;
        at++;
    }
    return (struct span){ part.at, at };
}

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

bool stuff_next(struct stuff *st, struct span *part, struct stuff_run *run_r)
{
    const char *at = part->at, *end = at + part->len, *dot = at;
    size_t len;

    if (part->len == 0)
        return false;
    run_r->dot = *at == '.' && ends_line(st->last);
    /* memchr() for the dot: mail has few, and most of them far from a line's start. */
    do {
        dot++;
        dot = dot < end ? memchr(dot, '.', (size_t)(end - dot)) : NULL;
    } while (dot != NULL && !ends_line(dot[-1]));

    len = dot != NULL ? (size_t)(dot - at) : part->len;
    run_r->bytes = (struct span){ at, len };
    st->octets += len;
    st->before = len > 1 ? at[len - 2] : st->last;
    st->last = at[len - 1];
    part->at += len;
    part->len -= len;
    return true;
}

struct span stuff_end(const struct stuff *st)
{
    if (st->before == '\r' && st->last == '\n')
        return SPAN_OF(".\r\n");
    return SPAN_OF("\r\n.\r\n");
}
