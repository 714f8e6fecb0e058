/*
 * prepare.h - the form that a password has where clients may write it in
 * several: composed or not, with one blank or another.
 */
#ifndef POSTERN_AUTH_PREPARE_H
#define POSTERN_AUTH_PREPARE_H

#include <stddef.h>

#include "auth/scheme/scheme.h"

/* Decomposed (NFD) it is as the keyboards of some systems type it; nothing is stored so. */
enum prepare_form { PREPARE_COMPOSED, PREPARE_DECOMPOSED };
/* As prepare_password(), which is the composed form. */
size_t prepare_form(enum prepare_form form, struct span password, char out[PASSWORD_MAX]);

/*
 * The password as SASLprep has it (RFC 4013), from which RFC 5802 makes SCRAM's
 * keys; where that forbids it (two directions of writing, control characters) as
 * OpaqueString has it (RFC 8265 section 4.2): composed, its blanks spaces, all
 * else as it is. Returns its octets, at most PASSWORD_MAX. 0: there is no other
 * form than the octets that were given, as it is ASCII, no UTF-8, in this form
 * already, or would be empty. The caller wipes out.
 */
size_t prepare_password(struct span password, char out[PASSWORD_MAX]);

#endif
