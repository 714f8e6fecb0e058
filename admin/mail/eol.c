/*
 * eol.c - line ends, a state machine over chunks. Pure.
 */
#include "admin/mail/eol.h"

#include <string.h>

static size_t crlf(struct eol *e, char *out)
{
    memcpy(out, "\r\n", 2);
    e->cr = e->open = false;
    return 2;
}

size_t eol_feed(struct eol *e, const char *in, size_t len, char *out)
{
    const char *end = in + len;
    size_t n = 0;

    while (in < end) {
        const char *lf, *cr;

        if (e->cr) {
            n += crlf(e, out + n);
            if (*in == '\n')
                in++;
            continue;
        }
        lf = memchr(in, '\n', (size_t)(end - in));
        if (lf == NULL)
            lf = end;
        cr = memchr(in, '\r', (size_t)(lf - in));
        if (cr == NULL)
            cr = lf;
        if (cr > in) {
            memcpy(out + n, in, (size_t)(cr - in));
            n += (size_t)(cr - in);
            e->open = true;
        }
        in = cr;
        if (in < end) {
            if (*in == '\r')
                e->cr = true;
            else
                n += crlf(e, out + n);
            in++;
        }
    }
    return n;
}

size_t eol_end(struct eol *e, char *out)
{
    return e->cr || e->open ? crlf(e, out) : 0;
}
