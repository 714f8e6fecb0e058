/*
 * host_port.h - lists of servers, as an option has them: "old.example:995 [2001:db8::1]:110".
 */
#ifndef POSTERN_BASE_HOST_PORT_H
#define POSTERN_BASE_HOST_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

enum { HOST_PORT_HOST_MAX = 253 };

struct host_port {
    char host[HOST_PORT_HOST_MAX + 1];  /* without brackets */
    uint16_t port;
};

/*
 * Takes the next word off the list, whose words are parted by spaces or commas. 1: it is in *out. 0:
 * there is none. -1: it is no host with a port, and *word_r is what it is.
 */
int host_port_next(struct span *list, struct host_port *out, struct span *word_r);
/* How many different names are in the list, addresses not among them. */
size_t host_port_names(struct span list);
/* Is this one in the list? Names in any case; *out has it as the list does. */
bool host_port_find(struct span list, struct span host, uint16_t port, struct host_port *out);

#endif
