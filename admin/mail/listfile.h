/*
 * listfile.h - the files in which mail servers keep what they know of a directory: read
 * whole, and taken apart. They may have been written by anybody. Spans are lent as long
 * as the text lives.
 */
#ifndef POSTERN_ADMIN_LISTFILE_H
#define POSTERN_ADMIN_LISTFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

/* A line that is wrong is told (static text), and left out. */
typedef void listfile_fault(void *arg, size_t line, const char *what);

/* All that can be read of fd, up to 512 MB, behind what `text` has. NULL, or why not (static text). */
const char *listfile_read(int fd, struct buf *text);

/* The next line, without its line end; *whole_r: it has one. The text must not be empty. */
struct span listfile_line(struct span *text, bool *whole_r);
/* Up to a space, which is taken too. Empty at the end of the line, and between two spaces. */
struct span listfile_word(struct span *line);
/* The last word of the line, and the space in front of it. */
struct span listfile_last_word(struct span *line);
/* A decimal number, and nothing else, of at most 32 bits. */
bool listfile_number(struct span word, uint32_t *n_r);

/* The name of a file in a Maildir, without what follows its first colon. */
struct span listfile_base(struct span name);
/* Can a file in a directory have this name? */
bool listfile_is_name(struct span name);

#endif
