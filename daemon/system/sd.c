/*
 * sd.c - the two protocols of systemd that a server needs, without its library.
 *
 * Neither may ever stop the server: a manager that does not listen is not told.
 */
#include "daemon/system/sd.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/base/unix_socket.h"

enum { FIRST_FD = 3, MOST_FDS = 256 };

bool sd_is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

/* True if the number in this variable is ours: what stands beside it is then for us, and not for who started us. */
static bool names_us(const char *variable)
{
    uint64_t pid = 0;

    return num_parse(span_str(getenv(variable)), INT32_MAX, &pid) == 1 && pid == (uint64_t)getpid();
}

bool sd_listen_fds(size_t *count_r, char **names_r, const char **error_r)
{
    uint64_t count = 0;
    bool ours = names_us("LISTEN_PID");
    bool good = num_parse(span_str(getenv("LISTEN_FDS")), MOST_FDS, &count) == 1;
    const char *names = getenv("LISTEN_FDNAMES");

    *count_r = 0;
    *names_r = ours && good && count > 0 && names != NULL ? mem_str(names) : NULL;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!ours)
        return true;
    if (!good) {
        *error_r = "LISTEN_FDS is not a number from 0 to 256";
        return false;
    }
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)count; fd++) {
        if (!sd_is_listening(fd)) {
            *error_r = "a descriptor in LISTEN_FDS is not a listening socket (with Accept=yes use --inetd)";
            mem_free(*names_r);
            *names_r = NULL;
            return false;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    *count_r = (size_t)count;
    return true;
}

uint64_t sd_watchdog(void)
{
    uint64_t us = 0;

    if (getenv("WATCHDOG_PID") != NULL && !names_us("WATCHDOG_PID"))
        return 0;
    if (num_parse(span_str(getenv("WATCHDOG_USEC")), INT64_MAX, &us) != 1)
        return 0;
    return us / 2000;
}

void sd_notify_state(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    int fd;

    if (path == NULL || (path[0] != '/' && path[0] != '@') || path[1] == '\0' ||
        (fd = unix_socket_connect(path, SOCK_DGRAM)) < 0)
        return;
    (void)!send(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}
