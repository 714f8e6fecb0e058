/*
 * inetd.h - one session on standard input and output, then the end.
 */
#ifndef POSTERN_INETD_H
#define POSTERN_INETD_H

#include <stdbool.h>

struct protocol;

struct inetd_start {
    const char *file;           /* the configuration */
    const struct protocol *protocol;
    bool tls;                   /* the first octet is one of a handshake */
    bool alone;                 /* it is not passed to a posternd that runs (passing.h) */
    bool stay;                  /* where it is, this process stays until the session has ended */
};

/*
 * in and out are what 0 and 1 were (stdio_take()). Returns the exit status of the
 * process: 0 whenever there was a session, here or in a posternd that runs.
 */
int inetd_run(const struct inetd_start *start, int in, int out);
/* Tells the client that the session is refused, instead of the greeting. */
void inetd_refuse(int out, const char *reply);

#endif
