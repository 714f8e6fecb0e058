/*
 * stdio.h - who owns descriptors 0, 1 and 2.
 *
 * Under inetd all three are the client, or a listening socket: nothing but
 * protocol may ever be written there, whatever a library thinks.
 */
#ifndef POSTERN_STDIO_H
#define POSTERN_STDIO_H

/* What was closed when we were started becomes /dev/null, so that nothing else ever gets these numbers. */
void stdio_ensure(void);
/* 0 and 1 under higher numbers, close-on-exec, in fds; then 0, 1 and 2 are /dev/null. Returns 0, or -1 with errno. */
int stdio_take(int fds[2]);
/* 0, 1 and 2 are /dev/null from now on. Returns 0, or -1 with errno. */
int stdio_null(void);

#endif
