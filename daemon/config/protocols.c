/*
 * protocols.c - the protocols that posternd speaks.
 */
#include "daemon/config/protocols.h"

#include <string.h>

#include "daemon/lmtp/lmtp.h"
#include "daemon/pop3/pop3.h"

const struct protocol *const protocols[PROTOCOLS] = { &pop3_protocol, &lmtp_protocol };

const struct protocol *protocol_named(const char *name)
{
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (strcmp(protocols[i]->name, name) == 0)
            return protocols[i];
    return NULL;
}
