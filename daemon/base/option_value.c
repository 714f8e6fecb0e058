/*
 * option_value.c - numbers with units. Owns what "64k" and "10m" mean, in both
 * directions; knows nothing of files.
 */
#include "daemon/base/option_value.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/base/list.h"
#include "daemon/base/num.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest first, as a number is shown in the largest unit that divides it. */
static const struct unit size_units[] = { { "G", INT64_C(1) << 30 }, { "M", 1 << 20 }, { "k", 1 << 10 }, { "", 1 } };
static const struct unit duration_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit no_units[] = { { "", 1 } };

static const struct unit *units_of(enum option_type type, size_t *count_r)
{
    if (type == OPTION_SIZE) {
        *count_r = sizeof size_units / sizeof size_units[0];
        return size_units;
    }
    if (type == OPTION_DURATION) {
        *count_r = sizeof duration_units / sizeof duration_units[0];
        return duration_units;
    }
    *count_r = 1;
    return no_units;
}

static bool parse_number(enum option_type type, const char *text, int64_t *number_r)
{
    size_t digits = strspn(text, "0123456789"), count;
    const char *unit = text + digits;
    const struct unit *units = units_of(type, &count);
    uint64_t value;

    if (num_parse((struct span){ text, digits }, INT64_MAX, &value) == 0)
        return false;
    if (type == OPTION_DURATION && unit[0] == '\0')
        unit = "s";
    for (size_t i = 0; i < count; i++) {
        /* Sizes without regard to case: there is no milli among them. */
        int differs = type == OPTION_SIZE ? strcasecmp(unit, units[i].name) : strcmp(unit, units[i].name);
        if (differs != 0)
            continue;
        if (__builtin_mul_overflow((int64_t)value, units[i].factor, number_r))
            *number_r = INT64_MAX;
        return true;
    }
    return false;
}

bool option_value_parse(enum option_type type, const char *text, struct option_value *v)
{
    *v = (struct option_value){ 0, text };
    switch (type) {
    case OPTION_BOOL:
        v->number = strcmp(text, "true") == 0;
        return v->number == 1 || strcmp(text, "false") == 0;
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        return parse_number(type, text, &v->number);
    case OPTION_TEXT:
        return true;
    case OPTION_WORD:
    case OPTION_WORDS:
        break;
    }
    return false;
}

bool option_words_parse(const struct option *o, const char *text, struct option_value *v, struct span *wrong_r)
{
    unsigned set;

    *v = (struct option_value){ 0, text };
    *wrong_r = span_str(text);
    if (o->type == OPTION_WORDS) {
        if (!list_words(*wrong_r, o->words, &set, wrong_r))
            return false;
        v->number = set;
        return true;
    }
    for (size_t i = 0; o->words[i] != NULL; i++) {
        v->number = (int64_t)i;
        if (strcmp(o->words[i], text) == 0)
            return true;
    }
    return false;
}

bool option_value_in_bounds(const struct option *o, const struct option_value *v)
{
    if (o->type == OPTION_BOOL || o->words != NULL)
        return true;
    int64_t n = o->type == OPTION_TEXT ? (int64_t)strlen(v->text) : v->number;
    return n >= o->min && n <= o->max;
}

void option_number_format(enum option_type type, int64_t number, char out[OPTION_TEXT_SIZE])
{
    size_t count;
    const struct unit *units = units_of(type, &count), *unit = &units[count - 1];

    for (size_t i = 0; i < count && number != 0; i++)
        if (number % units[i].factor == 0) {
            unit = &units[i];
            break;
        }
    if (number == 0)
        snprintf(out, OPTION_TEXT_SIZE, "0");
    else
        snprintf(out, OPTION_TEXT_SIZE, "%" PRId64 "%s", number / unit->factor, unit->name);
}

const char *option_type_prose(enum option_type type)
{
    switch (type) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INT:
        return "a number";
    case OPTION_SIZE:
        return "a size: octets, or a string such as \"64k\", \"19M\", \"1G\"";
    case OPTION_DURATION:
        return "a duration: seconds, or a string such as \"250ms\", \"10s\", \"5m\", \"2h\", \"1d\"";
    case OPTION_TEXT:
        return "a string in double quotes";
    case OPTION_WORD:
    case OPTION_WORDS:
        break;
    }
    return "";
}

void option_words_add(const struct option *o, struct buf *out)
{
    const bool quoted = o->type == OPTION_WORD, may_be_empty = o->words[0][0] == '\0';
    const size_t first = may_be_empty ? 1 : 0;

    for (size_t i = first; o->words[i] != NULL; i++) {
        if (i > first)
            buf_add_str(out, quoted && o->words[i + 1] == NULL && !may_be_empty ? " or " : ", ");
        buf_addf(out, quoted ? "\"%s\"" : "%s", o->words[i]);
    }
    if (may_be_empty)
        buf_add_str(out, " or empty");
}
