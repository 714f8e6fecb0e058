/*
 * stuff.h - byte-stuffing (RFC 1939 section 3) and the line count of TOP: a
 * state machine over the spans of a message, however they were cut. Pure: no
 * connection, no allocation, no copy, so that a fuzzer can drive it.
 *
 * It never changes an octet. It says which runs of the message to send, and
 * before which of them an extra dot goes.
 */
#ifndef POSTERN_POP3_STUFF_H
#define POSTERN_POP3_STUFF_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

struct stuff {
    uint64_t octets;        /* of the message that were let through; extra dots are not counted */
    uint64_t lines;         /* TOP: lines of the body that may still go */
    char before, last;      /* the last two octets let through; CR LF at the start */
    bool top;
    bool header;            /* TOP: the blank line was not there yet */
    bool enough;            /* TOP: nothing of the rest is wanted */
};

struct stuff_run {
    bool dot;               /* an extra dot goes first */
    struct span bytes;
};

void stuff_whole(struct stuff *st);                     /* RETR */
void stuff_top(struct stuff *st, uint64_t lines);       /* TOP: headers, blank line, so many lines of the body */

/* How much of the next part of the message belongs to the answer: all of it, or up to where TOP ends. */
struct span stuff_cut(struct stuff *st, struct span part);
/* The next run of what stuff_cut() gave, *part is advanced past it; false when there is none. */
bool stuff_next(struct stuff *st, struct span *part, struct stuff_run *run_r);

/* The end of the answer: `.` CR LF, after a CR LF where the message does not end in one. */
struct span stuff_end(const struct stuff *st);

#endif
