/*
 * data.c - the framing of DATA, as a state machine.
 *
 * Hands on the longest runs it can: a message that is canonical and has no dot
 * lines passes through in the chunks in which it came.
 */
#include "daemon/lmtp/data.h"

static void put_crlf(data_put *put, void *arg)
{
    put(arg, SPAN_OF("\r\n"));
}

static void put_run(data_put *put, void *arg, const char *from, const char *to)
{
    if (to > from)
        put(arg, (struct span){ from, (size_t)(to - from) });
}

/* Where the next of an octet is, remembered: what is behind it is not searched again, whatever the other octets are. */
static const char *next_of(const char **known, char octet, const char *p, const char *end)
{
    if (*known == NULL || *known < p) {
        *known = memchr(p, octet, (size_t)(end - p));
        if (*known == NULL)
            *known = end;
    }
    return *known;
}

/* In DATA_TEXT only these need a decision; memchr() is far faster than a loop that looks for all three. */
struct ahead {
    const char *lf, *cr, *nul;
};

static const char *plain_text(struct ahead *ahead, const char *p, const char *end)
{
    const char *lf = next_of(&ahead->lf, '\n', p, end), *cr = next_of(&ahead->cr, '\r', p, end);
    const char *nul = next_of(&ahead->nul, '\0', p, end), *first = lf < cr ? lf : cr;

    return first < nul ? first : nul;
}

size_t data_decode(struct data_decoder *d, struct span in, data_put *put, void *arg)
{
    const char *p = in.at, *end = in.at + in.len;
    struct ahead ahead = { NULL, NULL, NULL };
    const char *run = p;    /* what was decided to be kept and not handed on yet: [run, p) */

    while (p < end && d->state != DATA_END) {
        char c = *p;
        switch (d->state) {
        case DATA_LINE:
            if (c == '.' && d->dots) {
                put_run(put, arg, run, p);
                run = ++p;
                d->state = DATA_DOT;
                break;
            }
            d->state = DATA_TEXT;
            break;
        case DATA_TEXT:
            p = plain_text(&ahead, p, end);
            if (p == end)
                break;
            if (*p == '\r') {
                p++;            /* stays in the run: mostly an LF follows */
                d->state = DATA_CR;
            } else if (*p == '\n') {
                put_run(put, arg, run, p);
                put_crlf(put, arg);
                run = ++p;
                d->bare = true;
                d->state = DATA_BARE;
            } else {
                d->nul = true;
                p++;
            }
            break;
        case DATA_BARE:
            d->state = DATA_TEXT;
            break;
        case DATA_CR:
            /* The CR is in the run, unless it was the last octet of the chunk before. */
            if (c == '\n') {
                if (p == in.at)
                    put(arg, SPAN_OF("\r"));
                p++;
                d->state = DATA_LINE;
            } else {
                if (p > in.at)
                    put_run(put, arg, run, p - 1);
                put_crlf(put, arg);
                run = p;
                d->bare = true;
                d->state = DATA_TEXT;
            }
            break;
        case DATA_DOT:
            if (c == '\r') {
                run = ++p;
                d->state = DATA_DOT_CR;
            } else {
                d->state = DATA_TEXT;   /* the dot is gone; what follows is text, a second dot too */
            }
            break;
        case DATA_DOT_CR:
            if (c == '\n') {
                run = ++p;
                d->state = DATA_END;
            } else {
                put_crlf(put, arg);     /* for the CR; the dot in front of it was stuffing */
                d->bare = true;
                d->state = DATA_TEXT;
            }
            break;
        case DATA_END:
            break;
        }
    }
    if (d->state == DATA_CR && p > run)
        put_run(put, arg, run, p - 1);
    else if (d->state != DATA_END)
        put_run(put, arg, run, p);
    return (size_t)(p - in.at);
}

void data_finish(struct data_decoder *d, data_put *put, void *arg)
{
    if (d->state == DATA_CR)
        d->bare = true;
    if (d->state != DATA_LINE && d->state != DATA_BARE)
        put_crlf(put, arg);
    d->state = DATA_END;
}
