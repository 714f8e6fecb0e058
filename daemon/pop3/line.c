/*
 * line.c - cuts a client's octets into command lines (see line.h).
 *
 * A line ends at LF; one CR before it belongs to the line end (bare LF is
 * taken, as most servers do). A CR elsewhere is an octet like any other and
 * never ends a command (G18, G19).
 */
#include "daemon/pop3/line.h"

static void skip(struct span *in, size_t n)
{
    in->at += n;
    in->len -= n;
}

/* The tail of an over-long line must never be taken as a command: all of it goes, up to its LF. */
static enum line_kind discard(struct line_reader *reader, struct span *in)
{
    size_t room = LINE_GIVE_UP - reader->dropped;
    size_t n = in->len < room ? in->len : room;
    const char *end = memchr(in->at, '\n', n);

    if (end != NULL) {
        skip(in, (size_t)(end - in->at) + 1);
        reader->dropped = 0;
        return LINE_LONG;
    }
    reader->dropped += n;
    skip(in, n);
    return reader->dropped == LINE_GIVE_UP ? LINE_ENDLESS : LINE_MORE;
}

enum line_kind line_next(struct line_reader *reader, size_t limit, struct span *in, struct span *line_r)
{
    struct span line = *in;
    const char *end;

    if (in->len == 0)
        return LINE_MORE;
    if (reader->dropped > 0)
        return discard(reader, in);

    if (line.len > limit)
        line.len = limit;
    end = memchr(line.at, '\n', line.len);
    if (end == NULL)
        return line.len < limit ? LINE_MORE : discard(reader, in);

    line.len = (size_t)(end - line.at);
    skip(in, line.len + 1);
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    /* RFC 1939 section 3 knows printable octets only; a NUL is no string end (G16). */
    if (memchr(line.at, '\0', line.len) != NULL)
        return LINE_NUL;
    *line_r = line;
    return LINE_COMMAND;
}
