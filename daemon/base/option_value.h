/*
 * option_value.h - the values of options as text: read, shown, checked.
 */
#ifndef POSTERN_BASE_OPTION_VALUE_H
#define POSTERN_BASE_OPTION_VALUE_H

#include "daemon/base/buf.h"
#include "daemon/base/option.h"

struct option_value {
    int64_t number;     /* of a bool 0 or 1, of a duration milliseconds, of words the place or the bits */
    const char *text;   /* OPTION_TEXT: borrowed */
};

enum { OPTION_TEXT_SIZE = 32 };

/* False if the text is not of that type. What is too large for 64 bits is the largest value. Not for words. */
bool option_value_parse(enum option_type type, const char *text, struct option_value *v);
/*
 * OPTION_WORD and OPTION_WORDS. A single word has to be written as in the table; in a list
 * (daemon/base/list.h) case does not matter, and no word may be there twice. False with the word
 * that is wrong, which points into text, in *wrong_r.
 */
bool option_words_parse(const struct option *o, const char *text, struct option_value *v, struct span *wrong_r);
bool option_value_in_bounds(const struct option *o, const struct option_value *v);
/* The shortest way to write it: 600000 of a duration is "10m". */
void option_number_format(enum option_type type, int64_t number, char out[OPTION_TEXT_SIZE]);
/* "true or false", "a number": what a value of that type has to be. Not for words. */
const char *option_type_prose(enum option_type type);
/* Adds the words that an option takes: `"a", "b" or empty` (the first one may be ""); those of a list as `A, B, C`. */
void option_words_add(const struct option *o, struct buf *out);

#endif
