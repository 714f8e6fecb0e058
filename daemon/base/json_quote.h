/*
 * json_quote.h - text as JSON has it (RFC 8259 section 7).
 */
#ifndef POSTERN_BASE_JSON_QUOTE_H
#define POSTERN_BASE_JSON_QUOTE_H

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

/*
 * Adds the text in quotes, with what a JSON text may not have as \u and four
 * digits, DEL too. It is any octets: each that is not part of UTF-8 becomes U+FFFD.
 */
void json_quote(struct buf *out, struct span text);

#endif
