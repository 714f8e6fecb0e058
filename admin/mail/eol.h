/*
 * eol.h - line ends of a message: LF, CR and CRLF each become CRLF, and a line
 * end that is missing at the end is added. Nothing else is changed; NUL is kept.
 */
#ifndef POSTERN_ADMIN_EOL_H
#define POSTERN_ADMIN_EOL_H

#include <stdbool.h>
#include <stddef.h>

struct eol {
    bool cr;        /* the last octet was a CR: what follows says what it meant */
    bool open;      /* a line was begun and not ended */
};

#define EOL_START ((struct eol){ false, false })
/* Octets that n octets of input become at most, those of eol_end() included. */
#define EOL_ROOM(n) (2 * (n) + 2)

/* out has EOL_ROOM(len); returns how many were written. Input may be cut anywhere. */
size_t eol_feed(struct eol *e, const char *in, size_t len, char *out);
size_t eol_end(struct eol *e, char *out);

#endif
