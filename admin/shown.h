/*
 * shown.h - names of files, and text that came with mail, as they are printed.
 *
 * Whoever names a file or writes a header must not be able to write a line of
 * our output, nor to speak to the terminal it is read on.
 */
#ifndef POSTERN_ADMIN_SHOWN_H
#define POSTERN_ADMIN_SHOWN_H

#include <stddef.h>

#include "daemon/base/span.h"

/* How many octets at s are one character that may be printed as it is; 0: the octet there may not. */
size_t shown_plain(struct span s);

/*
 * A name in one word: as it is where it has only plain characters, else in
 * quotes, with \n, \t, \" and \\ and octal numbers (\033) as in C. Blanks are quoted
 * too, so that a name can be told from the text after it. The
 * answer is lent until the fourth call after this one.
 */
const char *shown_name(const char *name);

/* In place, for sentences: each octet that may not be printed as it is becomes `?`. */
void shown_text(char *text);

#endif
