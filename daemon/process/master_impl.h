/*
 * master_impl.h - the insides of the master: for master.c, master_cells.c,
 * master_metrics.c, commands.c and upgrade.c, and nobody else.
 */
#ifndef POSTERN_MASTER_IMPL_H
#define POSTERN_MASTER_IMPL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/buf.h"
#include "daemon/process/cell.h"
#include "daemon/config/config.h"
#include "daemon/net/tls_ends.h"
#include "daemon/process/master.h"
#include "daemon/control/operator.h"

#define NEVER UINT64_MAX

/* One of the cells there should be. */
struct slot {
    struct cell *cell;          /* NULL: to be started at start_at */
    uint64_t start_at;
    uint64_t pause;             /* the last one */
};

/* A new master that is being started in our place. */
struct successor {
    pid_t pid;                  /* 0: none */
    int pipe;                   /* what it says on standard error, and a NUL when it serves */
    int operator;               /* who waits to hear of it, -1: nobody */
    uint64_t kill_at;
    struct buf said;
};

struct master {
    const struct master_start *start;
    char *file;                 /* the same from any directory */
    struct config *config;
    struct sockets *sockets;
    struct sockets *inherited;  /* of the old master, until this one serves; NULL */
    struct recent *logins;
    struct limits *limits;
    int login_cache;            /* the memory that auth helpers share (login_cache.h), -1: none */
    struct operator_socket *operators;
    struct slot *slots;
    unsigned slot_count;
    struct cell **old;          /* incomplete, or of an earlier configuration: they end by themselves */
    size_t old_count, old_size;
    bool stopping;
    bool replaced;              /* by a new master, which has our sockets: stopping, without haste */
    uint64_t close_at;          /* NEVER, or when sessions that are left are closed */
    uint64_t kill_at;
    uint64_t watchdog;          /* how often the service manager is told that all is well; 0: never */
    uint64_t ping_at;
    uint64_t look_at;           /* when to look for workers that hang; NEVER: not at all */
    struct buf told;            /* of the reload that is under way: what was wrong */

    pid_t metrics;              /* the process that answers HTTP, 0: none */
    int metrics_fd;             /* where it listens, -1: nowhere */
    char *metrics_listen;       /* that one */
    uint64_t metrics_at;        /* when to start it, NEVER: it runs, or is not wanted */

    struct tls_ends ends;       /* of what the configuration of now has read */
    uint64_t ends_at;           /* when to look at them next */

    struct successor successor;
    int predecessor;            /* pipe to the master that started us and is to hear that we serve; -1: none */
    uint64_t serve_by;          /* when to tell it in any case */
};

/* master.c */
uint64_t master_now(void);
/* All of the new configuration, or none of it; what was wrong is in m->told, a line each. */
bool master_reload(struct master *m);
/* Accepts no more; sessions have this many ms (NEVER: all the time they want). */
void master_stop(struct master *m, uint64_t ms);

/* master_cells.c */
unsigned cells_wanted(const struct config *c);
/* As many slots as the configuration of now wants, all empty. Those of before are the caller's. */
void cells_make(struct master *m);
/* Starts what is due. */
void cells_start(struct master *m, uint64_t now);
/* Looks for workers that hang, when it is time to. */
void cells_look(struct master *m, uint64_t now);
/* Takes note of all processes that have ended, whosever they were. */
void cells_reap(struct master *m);
/* From now on it is an old one: its worker accepts no more, what has sessions finishes them. */
void cells_put_aside(struct master *m, struct cell *cell);
void cells_put_all_aside(struct master *m);
void cells_tell_old(struct master *m, void (*tell)(struct cell *cell));
void master_each_cell(struct master *m, void (*each)(struct cell *cell, void *arg), void *arg);

/* commands.c: an operator_command. */
void master_command(void *arg, int fd, char **words, size_t count);

/* upgrade.c */
/* Starts the program anew. operator (or -1) is answered when it is known what became of it. */
void upgrade_start(struct master *m, int operator);
/* There is something to read from it, or its time is over. */
void upgrade_look(struct master *m);
/* This process was waited for: was it the successor? */
bool upgrade_reap(struct master *m, pid_t pid, int status);
/* In the new master: all that can fail has been done, complaints go where they belong from now on. */
void upgrade_settled(struct master *m);
/* It serves: the old one may go. */
void upgrade_done(struct master *m);

/* The process for metrics; each checks what is to be done. */
void master_metrics(struct master *m, uint64_t now);
void master_metrics_stop(struct master *m);
bool master_metrics_reap(struct master *m, pid_t pid);
/* The configuration is another one: what it reads from certificates is in the metrics, and told where it ends soon. */
void master_ends_new(struct master *m);
/* Tells what is due. */
void master_ends(struct master *m, uint64_t now);

#endif
