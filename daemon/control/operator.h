/*
 * operator.h - the master's end of the control socket (daemon/base/control.h).
 */
#ifndef POSTERN_OPERATOR_H
#define POSTERN_OPERATOR_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

struct operator_socket;

/*
 * A command came, as words, at the time `now` of operator_serve(); fd is the
 * operator's connection. What operator_say() writes to it is the answer; it is
 * closed afterwards, so that whoever answers later duplicates it.
 */
typedef void operator_command(void *arg, int fd, char **words, size_t count, uint64_t now);

enum { OPERATOR_CLIENTS = 8, OPERATOR_FDS = OPERATOR_CLIENTS + 1 };

struct operator_socket *operator_new(operator_command *run, void *arg);
/* Listens at another path than before; empty: nowhere. 0, or -1 with a text to mem_free(); then the old one stays. */
int operator_listen(struct operator_socket *o, const char *path, char **error_r);
/* The same with a socket that listens there already, which is ours from now on. */
void operator_adopt(struct operator_socket *o, const char *path, int fd);
/* The listening descriptor, -1 where there is none. */
int operator_fd(const struct operator_socket *o);
/* Listens no more; the path is left alone if it is another process's by now. */
void operator_leave(struct operator_socket *o);
void operator_close(struct operator_socket *o);
void operator_free(struct operator_socket **o);

/* What to poll for, OPERATOR_FDS at most; returns how many. */
size_t operator_poll(const struct operator_socket *o, struct pollfd *fds);
/* When it wants to be called although nothing came: monotonic ms, UINT64_MAX for never. */
uint64_t operator_deadline(const struct operator_socket *o);
/* After poll(): accepts, reads, runs commands. */
void operator_serve(struct operator_socket *o, const struct pollfd *fds, size_t count, uint64_t now);

/* Never waits: what an operator does not read is lost. */
void operator_say(int fd, const char *text, size_t len);
void operator_sayf(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
