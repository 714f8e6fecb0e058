/*
 * listener.h - where clients come in. Two halves: the master makes listening
 * descriptors, a worker accepts from them. Every worker accepts from the same
 * ones, so that a client that waits is taken by whoever is free, and none is
 * lost when a worker ends.
 */
#ifndef POSTERN_NET_LISTENER_H
#define POSTERN_NET_LISTENER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct listener;

enum { LISTENER_MAX_FDS = 2 };

/*
 * Binds an IPv4 or IPv6 address, "*" (all of both: two descriptors, or one
 * where the system has one family only: see listener_lacks()), or the absolute path of a unix
 * socket, which everybody may connect to (see listener_bind_path()); a socket
 * that a dead process left there is removed. Returns how many descriptors were made, all close-on-exec;
 * or -1 with prose (mem_error()) in *error_r, and none is left open.
 */
int listener_bind(const char *address, uint16_t port, int backlog, int fds_r[LISTENER_MAX_FDS], char **error_r);

/*
 * What "*" still lacks: listens where fds has no descriptor of a family (count
 * are there, 0 or more), as far as the system has it. Returns how many there
 * are now; -1 with prose as above where there is none, or a family is there and
 * cannot be listened at (its port is taken): then what was there is as it was.
 */
int listener_bind_rest(uint16_t port, int backlog, int fds[LISTENER_MAX_FDS], size_t count, char **error_r);

/* The family that the descriptors of a "*" are without, for people: "IPv6", "IPv4", or NULL. */
const char *listener_lacks(const int *fds, size_t count);
/*
 * The family that an address, or "*", needs and this system does not have (a
 * kernel without it, or a process that is not allowed it); NULL: all is there.
 */
const char *listener_needs(const char *address);

/*
 * A unix socket, whose directory is made where it is missing (socket_dir.h), with a mode and a
 * group ((gid_t)-1: as it comes); it can be connected to only when it has both. Else as above.
 */
int listener_bind_path(const char *path, mode_t mode, gid_t group, int backlog, int *fd_r, char **error_r);

/*
 * fd belongs to the called from now on; index is that of the descriptor it came by. It may pause
 * or free the listener.
 */
typedef void listener_accept(void *arg, size_t index, int fd);

/*
 * Accepts from all of fds, which stay the caller's (bound here, or adopted from
 * another program) and are closed after listener_free(). Out of descriptors it
 * rests for a moment and says so in the log, at most once a minute.
 */
struct listener *listener_new(struct loop *loop, const int *fds, size_t count, listener_accept *accepted, void *arg);
void listener_free(struct listener **listener);
/* No client is accepted between these; they wait in the backlog. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);

#endif
