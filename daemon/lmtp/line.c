/*
 * line.c - command lines out of a stream.
 */
#include "daemon/lmtp/line.h"

size_t lmtp_line_next(struct line_reader *r, struct span in, struct span *line_r, enum line_result *result_r)
{
    const char *end = in.len > 0 ? memmem(in.at, in.len, "\r\n", 2) : NULL;
    size_t used;

    *line_r = (struct span){ in.at, 0 };
    if (end != NULL) {
        line_r->len = (size_t)(end - in.at);
        used = line_r->len + 2;
        *result_r = r->skipped > 0 || used > LINE_MAX_PATH ? LINE_TOO_LONG : LINE_WHOLE;
        r->skipped = 0;
        return used;
    }
    *result_r = LINE_NONE;
    if (r->skipped == 0 && in.len <= LINE_MAX_PATH)
        return 0;
    /* A CR at the end may be half of the line's end: it is left. */
    used = in.len;
    if (used > 0 && in.at[used - 1] == '\r')
        used--;
    r->skipped += used;
    if (r->skipped > LINE_ENDLESS)
        *result_r = LINE_HOPELESS;
    return used;
}
