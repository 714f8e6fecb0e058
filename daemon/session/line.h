/*
 * line.h - cuts a client's octets into command lines. A pure function over
 * bytes: no socket, no session, so that a fuzzer can drive it.
 *
 * It never keeps octets: what is not a whole line yet stays with the caller,
 * and of a line that is too long only the count and the first octets are kept,
 * so that no client can make it remember more.
 */
#ifndef POSTERN_SESSION_LINE_H
#define POSTERN_SESSION_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

enum {
    LINE_GIVE_UP = 65536,   /* octets without a line end after which this is no client of ours */
    LINE_HEAD = 8,          /* octets that are kept of a line that is too long */
};

/* What ends a line of a protocol. */
enum line_end {
    LINE_ENDS_LF,           /* LF; one CR before it belongs to the line end */
    LINE_ENDS_CRLF,         /* CR LF and nothing else */
};

enum line_kind {
    LINE_MORE,      /* no whole line yet */
    LINE_COMMAND,   /* *line_r is one, without its line end */
    LINE_NUL,       /* the same, and it holds a NUL */
    /* a line over its limit, told once, at its end; *line_r is how it began, LINE_HEAD octets at most */
    LINE_LONG,
    LINE_ENDLESS,   /* LINE_GIVE_UP octets and no end: the connection is to be closed */
};

/* All zero at the start. */
struct line_reader {
    size_t dropped;         /* octets of an over-long line that are gone already; 0 if there is none */
    char head[LINE_HEAD];   /* its first ones */
};

/*
 * The next line of *in, which is advanced past what was consumed: all of a
 * line that was told, the octets of one that is too long, nothing of one that
 * may still become a command. limit: octets of a line with its end, at least
 * LINE_HEAD. What it answers does not depend on how the octets were cut into
 * calls, if each time the same limit is given for a line. *line_r points into
 * *in, or into the reader.
 */
enum line_kind line_next(struct line_reader *reader, enum line_end end, size_t limit, struct span *in,
                         struct span *line_r);

#endif
