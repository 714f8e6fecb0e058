/*
 * close.h - the lock of a maildrop is given back, and the drop goes.
 */
#ifndef POSTERN_STORAGE_CLOSE_H
#define POSTERN_STORAGE_CLOSE_H

#include "storage/maildrop/drop_impl.h"

/*
 * Gives the lock back, whether or not it is known to be held: when what was read is
 * answered, and behind all else that was asked of its lane before. closed comes later, once.
 */
void drop_close(struct drop *drop, drop_closed *closed);
/* A question for messages of this drop was answered. It may free the drop. */
void close_after_reading(struct drop *drop);
/* The lock is not held, or not ours any more: the drop is freed. */
void drop_end(struct drop *drop);

#endif
