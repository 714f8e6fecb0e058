/*
 * utf8.h - what is UTF-8 (RFC 3629 section 4): the shortest form, no surrogates,
 * nothing above U+10FFFF.
 */
#ifndef POSTERN_BASE_UTF8_H
#define POSTERN_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/span.h"

/* The character that the text begins with, and its octets, 1 to 4; 0 if there is none. */
size_t utf8_char(struct span text, uint32_t *code_r);
/* Is all of it such characters? NUL is one; nothing at all is valid. */
bool utf8_valid(struct span text);

#endif
