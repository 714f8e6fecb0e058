/*
 * socket_dir.h - the directory of a unix socket, as etc/tmpfiles.d/postern.conf
 * makes it: /run is empty after a start of the machine, and not everybody has
 * something that fills it.
 */
#ifndef POSTERN_NET_SOCKET_DIR_H
#define POSTERN_NET_SOCKET_DIR_H

#include <stdbool.h>

/*
 * Makes the last directory of the path of a socket where it is missing, with
 * mode 0755 and the user of this process; none above it. False, with a text
 * (mem_error()) that says what to do: it is missing and cannot be made.
 */
bool socket_dir_make(const char *path, char **error_r);
/* Would that be done? Changes nothing. */
bool socket_dir_check(const char *path, char **error_r);

#endif
