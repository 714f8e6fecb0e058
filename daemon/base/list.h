/*
 * list.h - a list as people type it, in an option or on a command line: words
 * with commas between them, or blanks, or both.
 */
#ifndef POSTERN_BASE_LIST_H
#define POSTERN_BASE_LIST_H

#include <stdbool.h>

#include "daemon/base/span.h"

/* The next word of *rest, which is advanced past it; false at the end. A word is never empty. */
bool list_next(struct span *rest, struct span *word_r);
/*
 * Those of up to 32 words (NULL behind the last) that are in the list, in any case: bit N of *set_r
 * for words[N]. False if one is unknown or there twice: then it is *wrong_r.
 */
bool list_words(struct span list, const char *const *words, unsigned *set_r, struct span *wrong_r);

#endif
