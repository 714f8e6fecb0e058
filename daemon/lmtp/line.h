/*
 * line.h - command lines out of a stream (RFC 5321 section 4.5.3.1.4).
 *
 * Only CRLF ends a line. One that is too long is thrown away as it comes, so
 * that it costs no memory, and counts once.
 */
#ifndef POSTERN_LMTP_LINE_H
#define POSTERN_LMTP_LINE_H

#include <stdbool.h>

#include "daemon/base/span.h"

enum {
    LINE_MAX_PLAIN = 512,       /* with its CRLF */
    LINE_MAX_PATH = 1400,       /* MAIL and RCPT: a path and what the extensions may add */
    LINE_ENDLESS = 65536,
};

enum line_result {
    LINE_NONE,      /* not whole yet */
    LINE_WHOLE,
    LINE_TOO_LONG,  /* its end came; nothing of it was kept */
    LINE_HOPELESS,  /* LINE_ENDLESS octets without an end: not a client of ours */
};

struct line_reader {
    size_t skipped;     /* octets of a line that is being thrown away */
};

/* Octets of `in` that are done with; for LINE_WHOLE *line_r is the line without its end. */
size_t lmtp_line_next(struct line_reader *r, struct span in, struct span *line_r, enum line_result *result_r);

#endif
