/*
 * csv.h - a table that an operator wrote: a line that names the columns, then a line for each row.
 *
 * Separated by commas, semicolons or tabs, whichever the first line has; fields may be quoted
 * as RFC 4180 has it, but none holds a line end, so that a quote that was forgotten spoils one
 * row and not all that follow. Empty lines, and those that begin with `#`, are passed over. All
 * of it is held in memory, and wiped in the end: it may hold passwords.
 */
#ifndef POSTERN_ADMIN_CSV_H
#define POSTERN_ADMIN_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

enum {
    CSV_COLUMNS_MAX = 64,
    CSV_TEXT_MAX = 1024 * 1024 * 1024,      /* octets of a file */
};

struct csv_row {
    size_t line;            /* from 1 */
    char **fields;          /* one for each column, terminated by a NUL; "" where there is nothing. NULL with a fault */
    const char *fault;      /* why the row cannot be used (static text); NULL: it can */
};

struct csv {
    size_t column_count;
    char *columns[CSV_COLUMNS_MAX];     /* their names, in small letters, without blanks around them */
    struct csv_row *rows;
    size_t count;

    char *text;             /* what all of these point into; */
    size_t text_len;
    char **fields;          /* and those of all rows */
    size_t room;            /* of rows */
};

/*
 * The octets of a file, or of standard input for "-", to be wiped by the caller: secret_wipe() of *len_r octets, then
 * mem_free(). NULL with the reason in *error_r (static text, or strerror()'s).
 */
char *csv_slurp(const char *path, size_t *len_r, const char **error_r);
/*
 * Takes the text over, which must have been made by mem_alloc() with room for one octet more. NULL with the reason in
 * *error_r (static text) if there is no line with names of columns.
 */
struct csv *csv_parse(char *text, size_t len, const char **error_r);
/* Wipes all of it. */
void csv_free(struct csv **csv);

#endif
