/*
 * unix_socket.h - the client's end of a unix socket.
 */
#ifndef POSTERN_BASE_UNIX_SOCKET_H
#define POSTERN_BASE_UNIX_SOCKET_H

/* Octets of the longest path, without a NUL behind it. */
enum { UNIX_SOCKET_PATH_MAX = 107 };

/*
 * Connects a new descriptor, closed by an exec, to the socket at path; "@name" is
 * one of the abstract namespace of Linux. type is SOCK_STREAM or SOCK_DGRAM, with
 * SOCK_NONBLOCK where the caller wants that. -1 with errno, ENAMETOOLONG for a path
 * that no address has room for.
 */
int unix_socket_connect(const char *path, int type);

#endif
