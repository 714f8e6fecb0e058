/*
 * base64.h - octets out of base64 (RFC 4648), strictly: nothing outside of its
 * alphabet, no missing or wrong padding, no stray bits at the end.
 */
#ifndef POSTERN_BASE_BASE64_H
#define POSTERN_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

enum base64_kind {
    BASE64_PADDED,      /* section 4 */
    BASE64_URL,         /* section 5, without padding */
};

/* False if it is not that, or there are more than `size` octets. Nothing decodes to nothing. */
bool base64_decode(struct span text, enum base64_kind kind, unsigned char *out, size_t size, size_t *len_r);

#endif
