/*
 * option_value.h - the values of options as text: read, shown, checked.
 */
#ifndef POSTERN_BASE_OPTION_VALUE_H
#define POSTERN_BASE_OPTION_VALUE_H

#include "daemon/base/option.h"

struct option_value {
    int64_t number;     /* of a bool 0 or 1, of a duration milliseconds */
    const char *text;   /* OPTION_TEXT: borrowed */
};

enum { OPTION_TEXT_SIZE = 32 };

/* False if the text is not of that type. What is too large for 64 bits is the largest value. */
bool option_value_parse(enum option_type type, const char *text, struct option_value *v);
bool option_value_in_bounds(const struct option *o, const struct option_value *v);
/* The shortest way to write it: 600000 of a duration is "10m". */
void option_number_format(enum option_type type, int64_t number, char out[OPTION_TEXT_SIZE]);
/* "true or false", "a number": what a value of that type has to be. */
const char *option_type_prose(enum option_type type);

#endif
