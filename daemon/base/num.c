/*
 * num.c - decimal numbers, from text and to text.
 */
#include "daemon/base/num.h"

int num_parse(struct span text, uint64_t max, uint64_t *value_r)
{
    uint64_t value = 0;
    bool large = false;

    if (text.len == 0)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        /* Goes on to the end: "99999999999999999999x" is no number at all. */
        uint64_t digit = (uint64_t)(text.at[i] - '0');
        if (large || value > (UINT64_MAX - digit) / 10) {
            large = true;
            continue;
        }
        value = value * 10 + digit;
    }
    if (large || value > max) {
        *value_r = max;
        return -1;
    }
    *value_r = value;
    return 1;
}

size_t num_format(char *out, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}
