/*
 * option.h - one option: its name, type, default, bounds and text.
 */
#ifndef POSTERN_BASE_OPTION_H
#define POSTERN_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_BOOL,     /* bool: true, false */
    OPTION_INT,      /* int64_t: a number */
    OPTION_SIZE,     /* int64_t, octets: a number, or "64k", "19M", "1G" (1024s) */
    OPTION_DURATION, /* int64_t, milliseconds: "250ms", "10s", "5m", "2h", "1d"; a bare number is seconds */
    OPTION_TEXT,     /* char *, owned by the settings, never NULL */
    OPTION_WORD,     /* an enum: one word of a few, by its place among them */
    OPTION_WORDS,    /* unsigned: any of up to 32 words, bit N for the word in place N */
};

/* min and max: of the value; of its length for a text; not used for words. */
struct option {
    const char *name;
    enum option_type type;
    const char *const *words;   /* of OPTION_WORD and OPTION_WORDS, NULL at the end; else NULL */
    const char *def;
    int64_t min, max;
    const char *text;
    size_t offset;      /* in the settings struct */
};

#endif
