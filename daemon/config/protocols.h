/*
 * protocols.h - the protocols that posternd speaks, a row for each in
 * protocols.def. Nothing else knows which there are.
 */
#ifndef POSTERN_PROTOCOLS_H
#define POSTERN_PROTOCOLS_H

#include "daemon/session/protocol.h"

enum protocol_id {
#define PROTOCOL(name, title) PROTOCOL_##name,
#include "daemon/config/protocols.def"
#undef PROTOCOL
    PROTOCOLS
};

extern const struct protocol *const protocols[PROTOCOLS];
/* The words of a listener's `protocol`; NULL at the end. */
extern const char *const protocol_names[PROTOCOLS + 1];

/* NULL if there is none of that name. */
const struct protocol *protocol_named(const char *name);

/* A set of protocols is a bit for each. */
unsigned protocol_bit(const struct protocol *protocol);
/* NEEDS_ of all in the set. */
unsigned protocols_need(unsigned set);

#endif
