/*
 * open.h - what the store and takeovers know of openings under way.
 */
#ifndef POSTERN_STORAGE_OPEN_H
#define POSTERN_STORAGE_OPEN_H

#include <stdbool.h>

struct drop;

/* The end of a wait for a maildrop that somebody held: another try, or not. */
void drop_open_again(struct drop *drop, bool refused);

#endif
