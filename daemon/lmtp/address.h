/*
 * address.h - paths and parameters of MAIL and RCPT (RFC 5321 section 4.1.2).
 *
 * Pure functions over the octets of a command line. What they hand out holds
 * no control characters, so that it may go into a header or a log line.
 */
#ifndef POSTERN_LMTP_ADDRESS_H
#define POSTERN_LMTP_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

/*
 * More than RFC 5321's 256 octets: rewritten senders (SRS, VERP) have local
 * parts of more than 64. A recipient is held to the limits by name_canonical().
 */
enum { PATH_TEXT_MAX = 512 };

struct path {
    /* local@domain in its simplest spelling: quoted only where it has to be, source route left out; empty for <> */
    char text[PATH_TEXT_MAX + 1];
    size_t len;
    size_t local_len;
    struct span typed;  /* the same as it came, within what was parsed; empty for <> */
    bool no_domain;     /* <postmaster>, the only one without */
    bool literal;       /* the domain is an address in brackets */
    bool eight_bit;     /* some octet is not ASCII */
};

enum path_result { PATH_OK, PATH_SYNTAX, PATH_TOO_LONG, PATH_NOT_UTF8 };

/*
 * One path at the start of `in`, which is what follows `FROM:` or `TO:`; one
 * space in front of it is let through, as some clients send it. *rest_r is
 * what follows the path: nothing, or parameters after a space.
 */
enum path_result path_parse(struct span in, struct path *path_r, struct span *rest_r);

/* Takes "FROM:" or "TO:" away, in whatever case. */
bool path_prefix(struct span *args, struct span prefix);

/*
 * The next parameter of *rest: 1 and its keyword and value (empty, with
 * *has_value_r false, where it has none); 0 at the end; -1 if it is malformed.
 */
int param_next(struct span *rest, struct span *keyword_r, struct span *value_r, bool *has_value_r);

/* What MAIL may say (RFC 1870, 6152, 6531). */
struct mail_params {
    bool has_size, size_huge;   /* huge: more than fits */
    uint64_t size;
    bool body;                  /* BODY= was there; its value changes nothing here */
    bool utf8;
};
enum params_result { PARAMS_OK, PARAMS_SYNTAX, PARAMS_UNKNOWN };
enum params_result mail_params_parse(struct span rest, struct mail_params *params_r);

#endif
