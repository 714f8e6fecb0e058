/*
 * decoy.h - what is shown to a client that logs in with a name that is not
 * there: a salt, an iteration count, a secret. The same each time for the same
 * name, or asking twice would tell (RFC 5802 section 5.1, RFC 7677 section 4).
 */
#ifndef POSTERN_AUTH_DECOY_H
#define POSTERN_AUTH_DECOY_H

#include <stddef.h>

#include "daemon/base/span.h"

/*
 * Makes the key, once, before helpers are forked, so that all show the same.
 * It comes from /etc/machine-id, which no client knows, and is so the same
 * after a restart and for each session under inetd; without that file it is
 * random.
 */
void decoy_init(void);

/* 16 to 64 octets for this purpose and this name. */
void decoy_octets(const char *purpose, struct span name, unsigned char *out, size_t len);

#endif
