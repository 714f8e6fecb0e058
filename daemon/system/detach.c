/*
 * detach.c - into the background, once all that can fail has been done.
 *
 * Until detach_done() the daemon is a child in the terminal's group like any
 * other: Ctrl-C ends it, and its complaints are read.
 */
#include "daemon/system/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/system/stdio.h"

int detach_fork(void)
{
    int fds[2], status;
    pid_t pid;
    char byte;
    ssize_t n;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        close(fds[0]);
        return fds[1];
    }
    close(fds[1]);
    do
        n = read(fds[0], &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(EXIT_SUCCESS);
    /* It has ended without a word to us: it has had its word on standard error. */
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    _exit(EXIT_FAILURE);
}

int detach_done(int fd)
{
    if (setsid() < 0 || chdir("/") < 0 || stdio_null() < 0)
        return -1;
    (void)!write(fd, "", 1);
    close(fd);
    return 0;
}

int pid_file_write(const char *path)
{
    char text[32];
    int fd, len, saved;

    if (path[0] == '\0')
        return 0;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (write(fd, text, (size_t)len) != len) {
        saved = errno;
        close(fd);
        unlink(path);
        errno = saved;
        return -1;
    }
    close(fd);
    return 0;
}

void pid_file_remove(const char *path)
{
    long pid = 0;
    FILE *f;

    if (path[0] == '\0')
        return;
    f = fopen(path, "re");
    if (f == NULL)
        return;
    if (fscanf(f, "%ld", &pid) == 1 && pid == (long)getpid())
        unlink(path);
    fclose(f);
}
