/*
 * detach.h - a daemon in the background whose start can still be seen to fail,
 * and its pid file.
 */
#ifndef POSTERN_DETACH_H
#define POSTERN_DETACH_H

#include <stdbool.h>

/*
 * Returns in the child only; the caller's process waits for detach_done() and
 * then exits with 0, or with the child's status if that ends before. Returns
 * the descriptor for detach_done(), or -1 with errno where nothing was forked.
 */
int detach_fork(void);
/* Leaves the terminal and the standard descriptors, and lets the waiting process go. Returns 0, or -1 with errno. */
int detach_done(int fd);

/* Writes our process id. An empty path is none. Returns 0, or -1 with errno. */
int pid_file_write(const char *path);
/* Removes it, if it still holds our process id. */
void pid_file_remove(const char *path);

#endif
