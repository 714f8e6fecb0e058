/*
 * settings.c - the table of options (see settings.h).
 */
#include "auth/settings.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct auth_settings, field) },
#include "auth/options.def"
#undef OPTION
};

const struct option_table auth_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct auth_settings) };
