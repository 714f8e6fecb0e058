/*
 * name.h - the canonical form of an address as typed.
 *
 * Logins, posternctl and deliveries all come through here, so that a mailbox
 * has one spelling in the database, and a lookup is an exact match.
 */
#ifndef POSTERN_AUTH_NAME_H
#define POSTERN_AUTH_NAME_H

#include <stdbool.h>

#include "daemon/base/span.h"

enum {
    NAME_LOCAL_MAX = 64,        /* RFC 5321 section 4.5.3.1.1; canonical, with its quotes */
    NAME_DOMAIN_MAX = 253,      /* as A-labels */
    NAME_ADDRESS_MAX = 320,     /* what postern.mailbox.address takes */
    NAME_TYPED_MAX = 1280,      /* a domain in UTF-8 may be longer than its A-labels */
};

/*
 * The canonical address of a name, terminated by a NUL. Blanks around it, and
 * characters that nobody sees, do not count. The local part is what RFC 8265
 * section 3.3 makes of it: Unicode's small letters, composed (NFC), of ordinary
 * width, the same in every locale; in quotes, with the fewest backslashes,
 * where RFC 5321 wants them, and nowhere else. The domain is as name_domain()
 * makes it. default_domain is added to a name without one; empty where there is
 * none. Returns 1, or 0 with the reason in *error_r (static text; error_r may
 * be NULL) and out empty.
 */
int name_canonical(struct span in, struct span default_domain, char out[NAME_ADDRESS_MAX + 1], const char **error_r);

/* A domain as A-labels in lower case, without a trailing dot; the same way. */
int name_domain(struct span in, char out[NAME_DOMAIN_MAX + 1], const char **error_r);

/* Without blanks of any kind (not line ends) and invisible characters at its two ends. */
struct span name_trim(struct span text);

/* May this octet be in a local part without quotes? atext of RFC 5322 and the dot, anywhere; RFC 6531 adds UTF-8. */
bool name_is_plain(unsigned char c);


#endif
