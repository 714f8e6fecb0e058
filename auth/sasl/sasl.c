/*
 * sasl.c - what several mechanisms do alike (see sasl.h).
 */
#include "auth/sasl/sasl.h"

#include <string.h>

#include "auth/mechanism.h"
#include "daemon/base/mem.h"

void sasl_note_name(struct exchange *x, struct span message)
{
    struct span name;

    if (x->name == NULL && mechanism_name(x->mechanism, message, &name))
        x->name = mem_strn(name.at, name.len);
}

bool sasl_challenge(struct sasl_challenge *out, struct span text)
{
    ASSERT(text.len <= sizeof out->octets);
    if (text.len > 0)
        memcpy(out->octets, text.at, text.len);
    out->len = text.len;
    return true;
}

bool sasl_name_before_space(struct span message, struct span *name_r)
{
    const char *space = message.len > 0 ? memrchr(message.at, ' ', message.len) : NULL;

    if (space == NULL)
        return false;
    *name_r = (struct span){ message.at, (size_t)(space - message.at) };
    return true;
}
