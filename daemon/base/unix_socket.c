/*
 * unix_socket.c - the client's end of a unix socket.
 */
#include "daemon/base/unix_socket.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int unix_socket_connect(const char *path, int type)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    socklen_t size = sizeof un;
    int fd;

    _Static_assert(sizeof un.sun_path == UNIX_SOCKET_PATH_MAX + 1, "the length of a path is another one here");
    if (len > UNIX_SOCKET_PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(un.sun_path, path, len);
    if (path[0] == '@') {       /* each octet up to the end of the address counts */
        un.sun_path[0] = '\0';
        size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&un, size) < 0) {
        int why = errno;

        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}
