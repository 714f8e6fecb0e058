/*
 * slow_disk.c - preloaded: a disk that stands still. Whoever writes to a file
 * that has no name, or reads it back, waits for as long as the file that
 * SLOW_DISK names with ".write" (".read") behind it is there, for a minute at
 * the most.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_for_disk(int fd, const char *what)
{
    const char *stem = getenv("SLOW_DISK");
    char file[4096];
    struct stat st;

    if (stem == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink > 0)
        return;
    snprintf(file, sizeof file, "%s.%s", stem, what);
    for (int n = 0; n < 600 && access(file, F_OK) == 0; n++)
        usleep(100000);
}

ssize_t write(int fd, const void *data, size_t len)
{
    wait_for_disk(fd, "write");
    return syscall(SYS_write, fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    wait_for_disk(fd, "write");
    return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
    wait_for_disk(fd, "read");
    return syscall(SYS_pread64, fd, data, len, at);
}
