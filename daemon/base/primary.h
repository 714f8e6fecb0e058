/*
 * primary.h - which server of the database is believed: all processes of a host
 * know together the newest primary that one of them has met.
 *
 * A standby that was promoted is of a newer timeline than the primary that it
 * followed. That one may still run, and answer: what it tells is over since then.
 * So nobody believes a server any more once somebody has met a newer one of the
 * same cluster, for as long as posternd runs. Another cluster than the one in use
 * (a list of hosts that is wrong, or a database that was made anew) is believed
 * only once the one in use has not answered for PRIMARY_QUIET_MS.
 */
#ifndef POSTERN_BASE_PRIMARY_H
#define POSTERN_BASE_PRIMARY_H

#include <stdbool.h>
#include <stdint.h>

enum { PRIMARY_QUIET_MS = 15000 };

/* Of a server; all zero is that of none. */
struct primary_id {
    uint32_t cluster;       /* a hash of the system identifier */
    uint32_t timeline;      /* from 1 */
};

/* What postern.server_identity() says. False for anything else. */
bool primary_read(const char *text, struct primary_id *id_r);

/*
 * New memory, of no server, that the processes share which are forked from now
 * on. Those there are keep theirs. Until the first call it is a process's own.
 * False with errno.
 */
bool primary_share(void);

enum primary_met {
    PRIMARY_GOOD,       /* it is believed from now on, and was before, or none was */
    PRIMARY_NEW,        /* the same, and another one was believed before: the caller has been the first to meet it */
    PRIMARY_OLD,        /* a newer one was met: not to be used */
    PRIMARY_FOREIGN,    /* of another cluster than the one in use: not to be used */
};
/* A connection was made. now: clock_ms(). */
enum primary_met primary_meet(struct primary_id id, uint64_t now);
/* Is it still the one that is believed? To be asked before each question, and before its answer counts. */
bool primary_is(struct primary_id id);
/* It has answered a question. */
void primary_heard(struct primary_id id, uint64_t now);
/* The one that is believed. */
struct primary_id primary_now(void);

/* Why such a server is not used, for the log: static. */
const char *primary_advice(enum primary_met met);
/* Why a connection ends whose server primary_is() no longer. */
#define PRIMARY_REPLACED "another server is the primary now"

#endif
