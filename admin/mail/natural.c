/*
 * natural.c - names in which numbers count as numbers, of any number of digits.
 */
#include "admin/mail/natural.h"

#include <stdbool.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Moves both behind the numbers that they begin with. */
static int by_number(const char **a, const char **b)
{
    size_t x, y;
    int order;

    *a += strspn(*a, "0");
    *b += strspn(*b, "0");
    x = strspn(*a, "0123456789");
    y = strspn(*b, "0123456789");
    order = x != y ? (x < y ? -1 : 1) : memcmp(*a, *b, x);
    *a += x;
    *b += y;
    return order;
}

int natural_cmp(const char *a, const char *b)
{
    const char *const first = a, *const second = b;

    while (*a != '\0' && *b != '\0') {
        if (is_digit(*a) && is_digit(*b)) {
            int order = by_number(&a, &b);

            if (order != 0)
                return order;
        } else if (*a != *b) {
            break;
        } else {
            a++;
            b++;
        }
    }
    if (*a != *b)
        return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
    return strcmp(first, second);
}
