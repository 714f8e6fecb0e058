/*
 * decoy.h - what is shown to a client that logs in with a name that is not
 * there: a salt, an iteration count, a secret. The same each time for the same
 * name, or asking twice would tell (RFC 5802 section 5.1, RFC 7677 section 4).
 */
#ifndef POSTERN_AUTH_DECOY_H
#define POSTERN_AUTH_DECOY_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/span.h"

/*
 * The key is derived from a key in the database (postern.decoy_key()) and, if there is
 * a key file, from that (empty: none). So it is the same on all hosts, after a restart,
 * and for each session under inetd, and neither of the two alone reveals which names
 * exist. Both spans are lent; the caller wipes them.
 */
void decoy_set_key(struct span of_database, struct span of_file);
bool decoy_has_key(void);

/* 16 to 64 octets for this purpose and this name. There must be a key. */
void decoy_octets(const char *purpose, struct span name, unsigned char *out, size_t len);

#endif
