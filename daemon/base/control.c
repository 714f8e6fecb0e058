/*
 * control.c - the options that the daemon and posternctl both need to find each other.
 */
#include "daemon/base/control.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_##type, def, min, max, text, offsetof(struct control_settings, field) },
#include "daemon/base/control.def"
#undef OPTION
};
const struct option_table control_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct control_settings) };
