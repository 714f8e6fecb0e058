/*
 * piece.h - some octets of a message on their way to a client: spans that point
 * into the answer of the database, and hold until piece_release() of the last
 * piece_hold(). Passed by value.
 */
#ifndef POSTERN_STORAGE_PIECE_H
#define POSTERN_STORAGE_PIECE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

struct piece_ref;
struct piece {
    const struct span *spans;
    size_t count;
    bool last;                  /* the message ends with this one */
    struct piece_ref *ref;      /* the receiver holds one reference */
};
void piece_hold(struct piece_ref *ref);
void piece_release(struct piece_ref *ref);

#endif
