/*
 * sockets.h - the descriptors that clients come in by: the master's to make
 * and to keep over a reload, the workers' to accept from.
 */
#ifndef POSTERN_SOCKETS_H
#define POSTERN_SOCKETS_H

#include <stddef.h>

#include "daemon/config/config.h"

struct sockets_place;

struct sockets {
    int *fds;
    size_t *listener;               /* of each: which one of the configuration's listeners */
    size_t count;
    char *names;                    /* of adopted ones, with colons in between, or NULL */
    struct sockets_place *places;   /* by listener; NULL where the sockets were adopted */
    size_t place_count;
};

/*
 * Binds what the configuration lists. Where old (may be NULL) has the same
 * address and port already its descriptors are used on, so that no connection
 * that waits in them is refused; an adopted old is used on as it is. "*" where
 * the system has one family only is that one, and a line of the log. Returns
 * NULL with a text (mem_error()) in *error_r, and nothing has changed.
 */
struct sockets *sockets_bind(const struct config *config, const struct sockets *old, char **error_r);
/*
 * Sockets that somebody else has bound. Where the configuration names
 * listeners and names (colons in between, or NULL) those of the sockets, each
 * goes with the listener of its name; else the i-th one with the i-th listener.
 * Returns NULL with a text (mem_error()) in *error_r for a name that no listener has.
 */
struct sockets *sockets_adopt(const struct config *config, const int *fds, size_t count, const char *names,
                              char **error_r);
/* None yet; and a bound socket that another master has made, for sockets_bind() to find. */
struct sockets *sockets_none(void);
void sockets_know(struct sockets *sockets, const char *address, int64_t port, int fd);
/* For each bound one. */
void sockets_each(const struct sockets *sockets, void (*each)(void *arg, const char *address, int64_t port, int fd),
                  void *arg);
/* Closes all, and leaves the paths: they are another master's now. */
void sockets_leave(struct sockets **sockets);
/*
 * Closes those that next (may be NULL) does not use, and removes the paths of theirs. The
 * master's: workers have their own copies of the descriptors.
 */
void sockets_free(struct sockets **sockets, const struct sockets *next);
/* The set of protocols that are spoken on them (protocols.h). */
unsigned sockets_speak(const struct sockets *sockets, const struct config *config);
/* In a worker: of these, those on which one of the set is spoken; and closes its copies. */
struct sockets *sockets_of(const struct sockets *sockets, const struct config *config, unsigned set);
void sockets_close(const struct sockets *sockets);

#endif
