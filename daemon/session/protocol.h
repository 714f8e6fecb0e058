/*
 * protocol.h - what a protocol is to whoever serves it: a row of facts and
 * functions. Worker, inetd and configuration ask the row, never which protocol
 * it is.
 */
#ifndef POSTERN_SESSION_PROTOCOL_H
#define POSTERN_SESSION_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/metrics.h"

struct auth_client;
struct deliver;
struct limits;
struct loop;
struct option_table;
struct passer;
struct proxy_origin;
struct recent;
struct service;
struct session;
struct store;
struct tls_ctx;
struct tls_out;
struct trust;

/* What its sessions are given to work with. */
enum {
    NEEDS_LOGINS = 1,       /* auth helpers and maildrops; clients have passwords, so TLS, too */
    NEEDS_DELIVERIES = 2,   /* lanes for deliveries, and a spool */
    NEEDS_ALL = NEEDS_LOGINS | NEEDS_DELIVERIES,
};

/* What the service of a protocol gets from its process. All that is pointed to outlives the service. */
struct service_host {
    struct loop *loop;
    const void *settings;               /* the protocol's own: of its table of options */
    struct store *store;                /* with NEEDS_LOGINS */
    struct auth_client *auth;
    struct tls_out *tls_out;            /* for connections to other servers; NULL where there are none */
    struct recent *logins;              /* shared by all cells, for LOGIN-DELAY; NULL where there is one session only */
    struct limits *limits;              /* shared by all cells; NULL there, too */
    int limits_area;                    /* of this process: limit_area_take() */
    uint32_t account_failures;          /* auth_failures and auth_failure_time */
    uint64_t failure_time;
    struct deliver *deliver;            /* with NEEDS_DELIVERIES */
    void (*session_ended)(void *arg);   /* after each one */
    void *arg;
};

/* Who may log in without TLS. */
enum cleartext { CLEARTEXT_NEVER, CLEARTEXT_LOCAL, CLEARTEXT_ALWAYS };

/* Where a client came in. Copied as far as it is kept. */
struct session_entry {
    const char *default_domain;     /* empty where there is none */
    struct tls_ctx *tls;            /* NULL: there is no TLS; outlives the service */
    bool implicit_tls;              /* from the first octet; otherwise as the protocol has it */
    enum cleartext cleartext;
    const struct trust *trust;      /* who may come, where the protocol `trusts`; asked now and not kept */
    const struct proxy_origin *origin;  /* what a proxy told of the client, or NULL */
    struct passer *passer;          /* who passed it and stays until the session has ended; the session's; or NULL */
    bool own;                       /* it is the passer itself, who may come */
};

/* What is said in place of a greeting, with its line end, where there cannot be a session. */
enum refusal {
    REFUSAL_CONFIG,         /* the configuration is broken */
    REFUSAL_RESOURCES,
    REFUSALS
};

struct protocol {
    const char *name;               /* of a listener's `protocol` and of --inetd=NAME */
    unsigned needs;
    bool trusts;                    /* its listeners have a list of those who may connect: `allow` */
    unsigned id_digits;             /* of the id of a session */
    const char *socket_mode;        /* of a unix socket, where the listener has none */
    enum metric accepted;
    enum metric_gauge open;
    const char *refusals[REFUSALS];

    const struct option_table *options;
    /* The system user of its workers, which then serve it alone; empty: the user of all others. May be NULL: empty. */
    const char *(*user)(const void *settings);
    /* What depends on more than one option: problem is an options_problem, told with line 0. Returns how many. */
    int (*check)(const void *settings, void (*problem)(void *arg, const char *file, int line, const char *text),
                 void *arg, const char *file);
    /* What is wrong with a TCP port for it, or NULL. The column may be NULL. */
    const char *(*check_port)(int64_t port);

    /* One for each process; it ends with service_free(). Whatever is said of a service is in session.h. */
    struct service *(*serve)(const struct service_host *host);
    /* Frees the service with what its serve() made, when the last session has gone. */
    void (*end)(struct service *service);
    /* A client is there. in and out (the same, or two) belong to the session from now on. */
    void (*start)(struct service *service, int in, int out, const struct session_entry *entry);
    /*
     * Each of these may free the session, at once or when it has done what it
     * must not leave undone. drain: no more will come, this one may stay while
     * it is at work; NULL: it is left alone. close: it has to end; kick: by an
     * operator; NULL: that cannot be asked for. abandon: the loop runs no more.
     */
    void (*drain)(struct session *s);
    void (*close)(struct session *s);
    void (*kick)(struct session *s);
    void (*abandon)(struct session *s);
};

#endif
