/*
 * pop3.h - POP3 (RFC 1939, 2449, 3206): all that others see of it.
 */
#ifndef POSTERN_POP3_H
#define POSTERN_POP3_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/options.h"
#include "daemon/session/protocol.h"

struct pop3_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/pop3/options.def"
#undef OPTION
};
extern const struct option_table pop3_options;

/* A session that is ended deletes nothing; one whose QUIT is being committed finishes that first. */
extern const struct protocol pop3_protocol;

#endif
