/*
 * args.h - a command line in its parts. Pure functions over bytes.
 *
 * Strict where the standards are (RFC 1939 section 3, RFC 2449 section 3):
 * exactly one space separates, so two of them or one at the end make an empty
 * argument, which is an error; a TAB separates nothing.
 */
#ifndef POSTERN_POP3_ARGS_H
#define POSTERN_POP3_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"
#include "daemon/session/command.h"

enum {
    VERB_LEN = 4,
    LINE_LIMIT = 255,           /* octets of a command with its line end (RFC 2449 section 4) */
    LINE_SASL_LIMIT = 12288,    /* of what a client says in a SASL exchange (RFC 5034 section 4) */
};

/*
 * Could the line be a command of some POP3 server's, if not of ours? It begins
 * with 3 to 12 letters, digits and hyphens, and then a space or its end, and is
 * no request of HTTP.
 */
bool args_is_keyword(struct span line);

/*
 * The keyword in upper case, filled up with NULs. False if the line does not
 * begin with three or four letters and then a space or its end: no command of
 * ours. *rest_r is what follows the first space, *more_r says if there was one.
 */
bool args_verb(struct span line, char verb_r[VERB_LEN], struct span *rest_r, bool *more_r);

/* False if an argument is empty or there are more than ARGS_MAX. */
bool args_split(struct span rest, struct args *args_r);

#endif
