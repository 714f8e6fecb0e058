/*
 * control.c - the options that the daemon and posternctl both need to find each other, and what metrics_listen may be.
 */
#include "daemon/base/control.h"

#include <string.h>

#include "daemon/base/network.h"
#include "daemon/base/num.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct control_settings, field) },
#include "daemon/base/control.def"
#undef OPTION
};
const struct option_table control_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct control_settings) };

bool control_metrics_address(const char *text, char host[64], uint16_t *port_r)
{
    const char *colon = strrchr(text, ':');
    struct span part = { text, colon != NULL ? (size_t)(colon - text) : 0 };
    uint64_t port;

    if (part.len >= 2 && part.at[0] == '[' && part.at[part.len - 1] == ']')
        part = (struct span){ part.at + 1, part.len - 2 };
    else if (memchr(part.at, ':', part.len) != NULL)
        return false;           /* of IPv6, without brackets: where does the port begin? */
    if (part.len == 0 || part.len >= 64 || num_parse(span_str(colon + 1), 65535, &port) != 1 || port == 0)
        return false;
    memcpy(host, part.at, part.len);
    host[part.len] = '\0';
    *port_r = (uint16_t)port;
    return network_is_address(host);
}
