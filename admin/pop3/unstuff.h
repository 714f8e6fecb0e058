/*
 * unstuff.h - the octets of a message out of the answer to RETR: the dots that RFC 1939 section 3
 * puts in front of lines go, and the line with a dot alone is the end. Pure.
 */
#ifndef POSTERN_ADMIN_POP3_UNSTUFF_H
#define POSTERN_ADMIN_POP3_UNSTUFF_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

struct unstuff {
    enum unstuff_at { UNSTUFF_LINE, UNSTUFF_START, UNSTUFF_DOT, UNSTUFF_DOT_CR, UNSTUFF_END } at;
    bool lf_alone;      /* this server ends its own lines by LF alone: then such a line with a dot is the end, too */
};
/* At the start of the first line. */
#define UNSTUFF_BEGIN ((struct unstuff){ .at = UNSTUFF_START })

typedef void unstuff_out(void *arg, const char *at, size_t len);
/*
 * Returns how many octets belong to the answer: all, unless its end is among them (at == UNSTUFF_END).
 * The octets of the message are handed on; that a line of the answer ends by LF alone does not matter.
 */
size_t unstuff(struct unstuff *u, struct span in, unstuff_out *out, void *arg);

#endif
