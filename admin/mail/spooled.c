/*
 * spooled.c - a message of a server, in a file without a name.
 */
#include "admin/mail/spooled.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 128 * 1024 };

static int open_file(void)
{
    const char *dir = secure_getenv("TMPDIR");
    char name[PATH_MAX];
    int fd;

    dir = dir != NULL && dir[0] != '\0' ? dir : "/var/tmp";
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* Where the file system has no O_TMPFILE, a name for a moment. */
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    if (snprintf(name, sizeof name, "%s/posternctl.XXXXXX", dir) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

static bool write_out(struct spooled *s)
{
    while (buf_left(&s->pending) > 0) {
        struct span left = buf_span(&s->pending);
        ssize_t n = pwrite(s->fd, left.at, left.len, s->octets);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        s->octets += n;
        buf_consume(&s->pending, (size_t)n);
    }
    return true;
}

bool spooled_start(struct spooled *s)
{
    buf_clear(&s->pending);
    s->octets = 0;
    if (s->fd < 0)
        s->fd = open_file();
    return s->fd >= 0 && ftruncate(s->fd, 0) == 0;
}

bool spooled_add(struct spooled *s, const char *at, size_t len)
{
    buf_add(&s->pending, at, len);
    return buf_left(&s->pending) < PIECE || write_out(s);
}

bool spooled_end(struct spooled *s)
{
    return write_out(s);
}

void spooled_free(struct spooled *s)
{
    if (s->fd >= 0)
        close(s->fd);
    buf_free(&s->pending);
    *s = SPOOLED_NONE;
}
