/*
 * line.c - cuts a client's octets into command lines (see line.h).
 *
 * POP3: bare LF is taken as a line end, as most servers do. A CR elsewhere is
 * an octet like any other and never ends a command (G18, G19). LMTP: only CRLF
 * ends a line (RFC 5321 section 2.3.8).
 */
#include "daemon/session/line.h"

static void skip(struct span *in, size_t n)
{
    in->at += n;
    in->len -= n;
}

/* The octets up to the end of the first line and with it; 0 if its end is not among them. */
static size_t through_end(struct span in, enum line_end end)
{
    const char *at = NULL;

    if (in.len > 0)
        at = end == LINE_ENDS_CRLF ? memmem(in.at, in.len, "\r\n", 2) : memchr(in.at, '\n', in.len);
    return at == NULL ? 0 : (size_t)(at - in.at) + (end == LINE_ENDS_CRLF ? 2 : 1);
}

/* The tail of an over-long line must never be taken as a command: all of it goes, up to its end. */
static enum line_kind discard(struct line_reader *reader, enum line_end end, struct span *in, struct span *line_r)
{
    size_t room = LINE_GIVE_UP - reader->dropped;
    size_t n = in->len < room ? in->len : room;
    size_t whole = through_end((struct span){ in->at, n }, end);

    if (reader->dropped == 0)
        memcpy(reader->head, in->at, LINE_HEAD);
    if (whole > 0) {
        skip(in, whole);
        reader->dropped = 0;
        *line_r = (struct span){ reader->head, LINE_HEAD };
        return LINE_LONG;
    }
    if (n == room) {
        skip(in, n);
        reader->dropped = LINE_GIVE_UP;
        return LINE_ENDLESS;
    }
    /* A CR at the end may be half of the line's end: it is left. */
    if (end == LINE_ENDS_CRLF && in->at[n - 1] == '\r')
        n--;
    reader->dropped += n;
    skip(in, n);
    return LINE_MORE;
}

enum line_kind line_next(struct line_reader *reader, enum line_end end, size_t limit, struct span *in,
                         struct span *line_r)
{
    size_t whole;

    if (in->len == 0)
        return LINE_MORE;
    if (reader->dropped > 0)
        return discard(reader, end, in, line_r);
    whole = through_end((struct span){ in->at, in->len < limit ? in->len : limit }, end);
    if (whole == 0)
        return in->len < limit ? LINE_MORE : discard(reader, end, in, line_r);

    *line_r = (struct span){ in->at, whole - 1 };
    skip(in, whole);
    if (line_r->len > 0 && line_r->at[line_r->len - 1] == '\r')
        line_r->len--;
    /* RFC 1939 section 3 knows printable octets only; a NUL is no string end (G16). */
    return memchr(line_r->at, '\0', line_r->len) != NULL ? LINE_NUL : LINE_COMMAND;
}
