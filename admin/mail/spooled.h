/*
 * spooled.h - a message of a server, in a file without a name while it is imported: it is read
 * more than once, may be large, and is fetched once.
 */
#ifndef POSTERN_ADMIN_SPOOLED_H
#define POSTERN_ADMIN_SPOOLED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/base/buf.h"

struct spooled {
    int fd;                 /* -1: no message came, so far */
    off_t octets;           /* those in the file, which are all after spooled_end() */
    struct buf pending;
};
#define SPOOLED_NONE ((struct spooled){ .fd = -1 })

/*
 * Another message: what is there goes. False with errno, here and below. The file is in
 * $TMPDIR, or /var/tmp.
 */
bool spooled_start(struct spooled *s);
bool spooled_add(struct spooled *s, const char *at, size_t len);
bool spooled_end(struct spooled *s);
void spooled_free(struct spooled *s);

#endif
