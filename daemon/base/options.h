/*
 * options.h - the configuration: every option declared once.
 *
 * A module declares its options as rows of a file options.def,
 *
 *   OPTION(field, TYPE, "default", min, max, "text for the manual")
 *
 * and gets from it, by including the file with OPTION defined, its settings
 * struct and its table, as shown below. The same rows
 * are read by --check, by the sample configuration and by the manual. An option
 * that is one word of a few is an enum of the module, and has TYPE
 *
 *   WORD(enum_name, [ID_A] = "a", [ID_B] = "b")        in the order of the enum
 *   WORD_OF(enum_name, array_of_words)                 the same, NULL at the end
 *
 * and a list of words, as a set of bits, WORDS(array_of_words). All options
 * are scalars at the top of one libconfig file, named as the field;
 * the one exception is `listeners`, a list of groups, each read with a table
 * of its own.
 */
#ifndef POSTERN_BASE_OPTIONS_H
#define POSTERN_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/option.h"

#define OPTION_C_BOOL bool
#define OPTION_C_INT int64_t
#define OPTION_C_SIZE int64_t
#define OPTION_C_DURATION int64_t
#define OPTION_C_TEXT char *
#define OPTION_C_WORD(name, ...) enum name
#define OPTION_C_WORD_OF(name, words) enum name
#define OPTION_C_WORDS(words) unsigned

#define OPTION_T_BOOL OPTION_BOOL, NULL
#define OPTION_T_INT OPTION_INT, NULL
#define OPTION_T_SIZE OPTION_SIZE, NULL
#define OPTION_T_DURATION OPTION_DURATION, NULL
#define OPTION_T_TEXT OPTION_TEXT, NULL
#define OPTION_T_WORD(name, ...) OPTION_WORD, (const char *const[]){ __VA_ARGS__, NULL }
#define OPTION_T_WORD_OF(name, words) OPTION_WORD, words
#define OPTION_T_WORDS(words) OPTION_WORDS, words

/*
 * How a module uses its rows:
 *
 *   struct auth_settings {
 *   #define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
 *   #include "auth/options.def"
 *   #undef OPTION
 *   };
 *
 *   static const struct option rows[] = {
 *   #define OPTION(field, type, def, min, max, text) \
 *       { #field, OPTION_T_##type, def, min, max, text, offsetof(struct auth_settings, field) },
 *   #include "auth/options.def"
 *   #undef OPTION
 *   };
 *   const struct option_table auth_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct auth_settings) };
 */
struct option_table {
    const struct option *rows;
    size_t count;
    size_t size;        /* of the settings struct */
};

/* A table, and the struct that it fills. */
struct option_target {
    const struct option_table *table;
    void *settings;
};

/* One group of the list `listeners`; settings are made by options_load(). */
struct option_list {
    const char *name;                   /* "listeners" */
    const struct option_table *table;
    /* count structs of table->size, one after the other; owned, see options_free */
    void *items;
    int *lines;                         /* the line of each in the file */
    size_t count;
};

/* What is wrong, and where. line is 0 where it is about the whole file. */
typedef void options_problem(void *arg, const char *file, int line, const char *text);

/*
 * Reads the file, fills every target (defaults for what is not there) and the
 * list (may be NULL). Every problem is reported, not only the first: syntax,
 * unknown names, wrong types, values out of bounds. With allow_unknown, names
 * that no table has are passed over (posternctl reads the parts it needs).
 * file may be NULL: all defaults. Returns the number of problems; the settings
 * are filled, with the default where the value was wrong, in any case.
 */
int options_load(const char *file, const struct option_target *targets, size_t count,
                 struct option_list *list, bool allow_unknown, options_problem *problem, void *arg);
/* The row of that name, which stays; NULL if there is none. */
const struct option *options_row(const struct option_table *table, const char *name);
/* The texts of a settings struct; then of a list, with its items. */
void options_free(const struct option_table *table, void *settings);
void options_free_list(struct option_list *list);

/* A sample configuration, every option commented out at its default, with its text, bounds and unit. */
void options_sample(FILE *out, const struct option_table *table, bool in_list);
/* The same as mdoc: one .It Ic for each. */
void options_manual(FILE *out, const struct option_table *table);

#endif
