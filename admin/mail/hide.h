/*
 * hide.h - the header fields that a server kept to itself, and the line that it added: what
 * its clients saw of a message in an mbox. Pure; the message comes in pieces, with LF or CRLF.
 */
#ifndef POSTERN_ADMIN_HIDE_H
#define POSTERN_ADMIN_HIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

struct hide_how {
    const char *const *names;   /* of fields, without the colon, NULL at the end; with their continuation lines */
    bool one_line;              /* without these */
    struct span add;            /* a line with its end, or nothing: at the end of the header, */
    const char *before;         /* or in front of the first field of this name, if there is one */
};

struct hide {
    const struct hide_how *how;
    enum { HIDE_BEGIN, HIDE_NAME, HIDE_KEEP, HIDE_DROP, HIDE_BODY } state;
    bool dropped;               /* the field before, whose continuation may follow */
    bool added;
    char held[32];              /* how the line begins, until it is known what it is */
    size_t length;
};

/* `how` is lent until hide_end(). */
struct hide hide_start(const struct hide_how *how);
/* Gets what is left, in as many calls as it takes. */
typedef void hide_out(void *arg, const char *at, size_t len);
void hide_feed(struct hide *h, const char *in, size_t len, hide_out *out, void *arg);
/* The message ends here. */
void hide_end(struct hide *h, hide_out *out, void *arg);

#endif
