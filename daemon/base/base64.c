/*
 * base64.c - octets out of base64, by libsodium, in constant time.
 *
 * libsodium 1.0.18 takes some octets above 127 for characters of the alphabet,
 * so those are refused here.
 */
#include "daemon/base/base64.h"

#include <sodium.h>

bool base64_decode(struct span text, enum base64_kind kind, unsigned char *out, size_t size, size_t *len_r)
{
    const int variant = kind == BASE64_URL ? sodium_base64_VARIANT_URLSAFE_NO_PADDING : sodium_base64_VARIANT_ORIGINAL;
    const char *end = NULL;
    unsigned char all = 0;

    *len_r = 0;
    for (size_t i = 0; i < text.len; i++)
        all |= (unsigned char)text.at[i];
    if (all >= 0x80)
        return false;
    return text.len == 0 || (sodium_base642bin(out, size, text.at, text.len, NULL, len_r, &end, variant) == 0 &&
                             end == text.at + text.len);
}
