/*
 * conn_impl.h - what a connection is made of; for conn.c and conn_info.c only.
 */
#ifndef POSTERN_NET_CONN_IMPL_H
#define POSTERN_NET_CONN_IMPL_H

#include "daemon/base/buf.h"
#include "daemon/net/conn.h"
#include "daemon/net/conn_io.h"

struct evbuffer;
struct loop;
struct timer;
struct watch;

enum conn_state { OPEN, FINISHING, LINGERING, CLOSED };

struct conn {
    struct loop *loop;
    const struct conn_protocol *protocol;
    void *owner;
    enum conn_state state;
    enum conn_end in_why;       /* why in_over */
    enum conn_end told_why;

    bool local_peer;            /* on this host */
    bool paused;
    bool parked;                /* octets came while paused: not watched until resume */
    bool due;                   /* resumed: what is kept is to be delivered */
    bool in_over;               /* nothing more can be read */
    bool in_full;               /* the last read filled the buffer */
    bool told;                  /* end was called */
    bool blocked;               /* the client does not take more at the moment */
    bool out_lost;              /* output goes nowhere */
    bool full_said;             /* `drained` is owed */
    bool scheduled;             /* at_turn_end() will be called */

    struct conn_io io;
    struct tls_ctx *tls_next;   /* TLS begins when what is queued is written; */
    SSL *tls_to_next;           /* or this one, as its client */
    struct watch *in_watch, *out_watch;
    struct buf kept;
    struct evbuffer *queue;
    uint64_t octets_in, octets_out;

    struct timer *timer;
    uint64_t timeout;           /* 0: never */
    uint64_t active;            /* when an octet was read or written last */
    uint64_t armed;             /* when the timer goes off; 0: it does not */

    size_t lingered;
    void (*done)(void *arg);
    void *done_arg;
    char *peer, *local;
    struct proxy_origin *origin;    /* NULL: no proxy told anything that is not in peer and local */
};

#endif
