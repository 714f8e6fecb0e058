/*
 * sandbox.h - what a process that strangers talk to may still do, once it is
 * ready to: no new process, few system calls, few files, few places to connect to.
 *
 * The second wall: the first one is that each role is another user, and another
 * role at the database.
 */
#ifndef POSTERN_SANDBOX_H
#define POSTERN_SANDBOX_H

#include "daemon/config/config.h"

enum sandbox_role {
    SANDBOX_WORKER,     /* clients, the database, the spool */
    SANDBOX_SESSION,    /* the same for one client, and a helper to wait for */
    SANDBOX_HELPER,     /* one socket to its worker, the database, keys to read */
    SANDBOX_METRICS,    /* HTTP, and memory that it shares */
};

/*
 * For ever, as the option `sandbox` says. To be called when everything that
 * needs more was done: users looked up, certificates read. A kernel without
 * Landlock, or without seccomp, leaves that part out; the latter is logged.
 */
void sandbox_enter(enum sandbox_role role, const struct config *config);

/*
 * For the master: it becomes others, so there is no filter that would suit it; but nothing it
 * starts gets more rights than it has.
 */
void sandbox_no_new_rights(void);

/* ---- for sandbox.c and sandbox_files.c only */

/* What the role may reach. Unused places are NULL. */
enum { SANDBOX_DATABASES = 2, SANDBOX_FILES = 4 };
struct sandbox_reach {
    const char *conninfo[SANDBOX_DATABASES];
    const char *spool;                      /* a directory for files without a name */
    const char *read[SANDBOX_FILES];
    const char *servers;                    /* others to connect to: a list of HOST:PORT */
};
/* Landlock: all other files and TCP ports are gone. False, with errno, where the kernel has none of it. */
bool sandbox_files(const struct sandbox_reach *reach);
/* What sockets of the Internet the databases and other servers need. */
struct sandbox_network {
    bool streams;           /* one of them is not on a unix socket */
    bool datagrams;         /* or has a name, which only a resolver knows */
};
struct sandbox_network sandbox_network(const struct sandbox_reach *reach);

#endif
