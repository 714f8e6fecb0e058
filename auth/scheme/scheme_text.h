/*
 * scheme_text.h - the form "{NAME.CODE}text" of a stored secret, for the
 * schemes that know their secrets by the name alone. Pure.
 */
#ifndef POSTERN_AUTH_SCHEME_TEXT_H
#define POSTERN_AUTH_SCHEME_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

enum secret_code { CODE_NONE, CODE_HEX, CODE_BASE64 };

struct secret_text {
    struct span name;           /* between the braces, without the code */
    enum secret_code code;      /* ".HEX", ".B64" or ".BASE64" after the name, as Dovecot writes it */
    const char *text;           /* what follows */
};

/* False if it does not begin with a name in braces. */
bool secret_text_parse(const char *stored, struct secret_text *text_r);
/* In any case of letters. */
bool secret_text_is(const struct secret_text *text, const char *name);
/* The whole text, at most `size` octets; base64 with or without its padding. False if it is not that. */
bool secret_text_decode(const char *text, enum secret_code code, unsigned char *out, size_t size, size_t *len_r);

#endif
