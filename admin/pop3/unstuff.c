/*
 * unstuff.c - the octets of a message out of the answer to RETR (see unstuff.h).
 *
 * Servers take a line to begin behind CRLF, or behind any LF, and put dots in front of those.
 * Clients take it to begin behind any LF, and so do we. A line ".LF" is the end only where the
 * server ends its own lines so: of others it is text that was not theirs to change.
 */
#include "admin/pop3/unstuff.h"

/* A whole run of octets within a line, with its LF. */
static size_t run(struct span in, bool *ended_r)
{
    const char *lf = memchr(in.at, '\n', in.len);

    *ended_r = lf != NULL;
    return lf != NULL ? (size_t)(lf - in.at) + 1 : in.len;
}

size_t unstuff(struct unstuff *u, struct span in, unstuff_out *out, void *arg)
{
    size_t i = 0;

    while (i < in.len && u->at != UNSTUFF_END) {
        const char c = in.at[i];
        bool ended;
        size_t n;

        switch (u->at) {
        case UNSTUFF_START:
            u->at = c == '.' ? UNSTUFF_DOT : UNSTUFF_LINE;
            i += c == '.';
            break;
        case UNSTUFF_LINE:
            n = run((struct span){ in.at + i, in.len - i }, &ended);
            out(arg, in.at + i, n);
            i += n;
            u->at = ended ? UNSTUFF_START : UNSTUFF_LINE;
            break;
        case UNSTUFF_DOT:
            if (c == '\n' && u->lf_alone) {
                u->at = UNSTUFF_END;
                i++;
            } else if (c == '\r') {
                u->at = UNSTUFF_DOT_CR;
                i++;
            } else {
                if (c == '\n')
                    out(arg, ".", 1);
                u->at = UNSTUFF_LINE;
            }
            break;
        case UNSTUFF_DOT_CR:
            u->at = UNSTUFF_LINE;
            if (c == '\n') {
                u->at = UNSTUFF_END;
                i++;
            } else {
                out(arg, "\r", 1);
            }
            break;
        case UNSTUFF_END:
            break;
        }
    }
    return i;
}
