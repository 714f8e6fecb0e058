/*
 * xuidl.h - the field X-UIDL of a message, in which some POP3 servers kept its UIDL.
 */
#ifndef POSTERN_ADMIN_XUIDL_H
#define POSTERN_ADMIN_XUIDL_H

#include <stdbool.h>

#include "daemon/base/buf.h"
#include "daemon/base/span.h"

/* The value of the first one in this header, without blanks around it; a line that goes on is not read on. */
bool xuidl_in(struct span header, struct span *value_r);
/* The same of a message in a file, into an empty buffer. False: it has none, or cannot be read. */
bool xuidl_of(int fd, struct buf *value);

#endif
