/*
 * line.h - cuts a client's octets into command lines. A pure function over
 * bytes: no socket, no session, so that a fuzzer can drive it.
 *
 * It never keeps octets: what is not a whole line yet stays with the caller,
 * and of a line that is too long only the count is kept, so that no client
 * can make it remember more than a number.
 */
#ifndef POSTERN_POP3_LINE_H
#define POSTERN_POP3_LINE_H

#include <stddef.h>

#include "daemon/base/span.h"

enum {
    LINE_LIMIT = 255,       /* octets of a command with its line end (RFC 2449 section 4) */
    LINE_SASL_LIMIT = 12288,    /* of what a client says in a SASL exchange (RFC 5034 section 4) */
    LINE_GIVE_UP = 65536,   /* octets without a line end after which this is no POP3 client */
};

enum line_kind {
    LINE_MORE,      /* no whole line yet */
    LINE_COMMAND,   /* *line_r is one, without its line end */
    LINE_NUL,       /* a line that holds a NUL */
    LINE_LONG,      /* a line over its limit, told once, at its end */
    LINE_ENDLESS,   /* LINE_GIVE_UP octets and no end: the connection is to be closed */
};

/* All zero at the start. */
struct line_reader {
    size_t dropped;         /* octets of an over-long line that are gone already; 0 if there is none */
};

/*
 * The next line of *in, which is moved behind what was consumed: all of a
 * line that was told, all octets of one that is too long, nothing of one that
 * may still become a command. What it answers does not depend on how the
 * octets were cut into calls, if each time the same limit is given for a line.
 * *line_r is set for LINE_COMMAND only, and points into *in.
 */
enum line_kind line_next(struct line_reader *reader, size_t limit, struct span *in, struct span *line_r);

#endif
