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
