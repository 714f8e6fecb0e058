/*
 * protocols.c - the protocols that posternd speaks.
 */
#include "daemon/config/protocols.h"

#include <string.h>

#define PROTOCOL(name, title) extern const struct protocol name##_protocol;
#include "daemon/config/protocols.def"
#undef PROTOCOL

const struct protocol *const protocols[PROTOCOLS] = {
#define PROTOCOL(name, title) &name##_protocol,
#include "daemon/config/protocols.def"
#undef PROTOCOL
};

const char *const protocol_names[PROTOCOLS + 1] = {
#define PROTOCOL(name, title) #name,
#include "daemon/config/protocols.def"
#undef PROTOCOL
};

const struct protocol *protocol_named(const char *name)
{
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (strcmp(protocols[i]->name, name) == 0)
            return protocols[i];
    return NULL;
}

unsigned protocol_bit(const struct protocol *protocol)
{
    unsigned i = 0;

    while (protocols[i] != protocol)
        i++;
    return 1u << i;
}

unsigned protocols_need(unsigned set)
{
    unsigned needs = 0;

    for (size_t i = 0; i < PROTOCOLS; i++)
        if (set & protocol_bit(protocols[i]))
            needs |= protocols[i]->needs;
    return needs;
}
