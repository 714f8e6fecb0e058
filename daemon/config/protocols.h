/*
 * protocols.h - the protocols that posternd speaks, a row for each.
 *
 * A protocol is a folder beside daemon/pop3, its row here, and its settings in
 * struct config (config.h) and in the sections of config.c. Nothing else knows
 * which protocols there are.
 */
#ifndef POSTERN_PROTOCOLS_H
#define POSTERN_PROTOCOLS_H

#include "daemon/session/protocol.h"

enum { PROTOCOLS = 2 };

/* The first is what is spoken where nothing is said. */
extern const struct protocol *const protocols[PROTOCOLS];

/* NULL if there is none of that name. */
const struct protocol *protocol_named(const char *name);

#endif
