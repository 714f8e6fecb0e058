/*
 * secret_line.h - a password as a line of a file or of a terminal. Never from the command line,
 * where every user of the host could see it.
 */
#ifndef POSTERN_ADMIN_SECRET_LINE_H
#define POSTERN_ADMIN_SECRET_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum { SECRET_LINE_MAX = 1024 };
/* To be wiped by whoever has it. */
struct secret_line {
    char text[SECRET_LINE_MAX + 2];     /* the line end may be CRLF */
    size_t len;
};

/*
 * The next line; of it only the line end is taken away, and of the input nothing behind it. False after
 * a message that begins with `what` ("the input"), here and below: also for one that is empty, or has a NUL or CR.
 */
bool secret_line_read(int fd, const char *what, struct secret_line *line_r);
/* The first line of a file; "-" is standard input. */
bool secret_line_of_file(const char *path, struct secret_line *line_r);
/* Asks on the terminal, that is standard input, without echo. */
bool secret_line_prompt(const char *text, struct secret_line *line_r);
/*
 * Of a terminal, where "new password of WHOSE" is said (of `what` "password"), and it is asked for once more where
 * `twice`; else the next line of standard input.
 */
bool secret_line_ask(const char *what, const char *whose, bool twice, struct secret_line *line_r);

#endif
