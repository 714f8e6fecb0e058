/*
 * stdio.c - descriptors 0, 1 and 2: made sure of, taken away, given up.
 *
 * It must run before anything of the program opens a descriptor.
 */
#include "daemon/system/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void stdio_ensure(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* open() takes the lowest number that is free, which is this one. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(1);
    }
}

int stdio_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return -1;
    for (int i = 0; i <= 2; i++) {
        if (dup2(fd, i) < 0)
            return -1;
    }
    if (fd > 2)
        close(fd);
    return 0;
}

int stdio_take(int fds[2])
{
    for (int i = 0; i <= 1; i++) {
        fds[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
        if (fds[i] < 0)
            return -1;
    }
    return stdio_null();
}
