/*
 * inetd.h - one session on standard input and output, then the end.
 */
#ifndef POSTERN_INETD_H
#define POSTERN_INETD_H

#include <stdbool.h>

struct protocol;

/*
 * in and out are what 0 and 1 were (stdio_take()); with tls the first octet is
 * one of a handshake. Returns the exit status of the process: 0 whenever there
 * was a session.
 */
int inetd_run(const char *file, const struct protocol *protocol, int in, int out, bool tls);
/* Tells the client that the session is refused, instead of the greeting. */
void inetd_refuse(int out, const char *reply);

#endif
