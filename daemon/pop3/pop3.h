/*
 * pop3.h - POP3 (RFC 1939, 2449, 3206): all that others see of it.
 */
#ifndef POSTERN_POP3_H
#define POSTERN_POP3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/options.h"
#include "daemon/base/span.h"

struct loop;
struct store;
struct auth_client;
struct proxy_origin;
struct recent;
struct limits;
struct tls_ctx;
struct pop3_service;

struct pop3_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/pop3/options.def"
#undef OPTION
};
extern const struct option_table pop3_options;

/* What depends on more than one option: problems are reported with line 0. Returns how many. */
int pop3_settings_check(const struct pop3_settings *settings, options_problem *problem, void *arg, const char *file);

struct pop3_host {
    struct loop *loop;
    struct store *store;
    struct auth_client *auth;
    struct recent *logins;              /* shared by all cells, for LOGIN-DELAY; NULL where there is one session only */
    struct limits *limits;              /* shared by all cells; NULL there, too */
    int limits_area;                    /* of this process: limit_area_take() */
    uint32_t account_failures;          /* auth_failures and auth_failure_time */
    uint64_t failure_time;
    const struct pop3_settings *settings;
    void (*session_ended)(void *arg);   /* after each one */
    void *arg;
};

/* One for each worker. The host and what it points to outlive it. */
struct pop3_service *pop3_service_new(const struct pop3_host *host);
/* Ends every session without a deletion. */
void pop3_service_free(struct pop3_service **service);

/* Who may log in without TLS. */
enum pop3_cleartext { POP3_CLEARTEXT_NEVER, POP3_CLEARTEXT_LOCAL, POP3_CLEARTEXT_ALWAYS };

/* Where a client came in. */
struct pop3_entry {
    const char *default_domain;     /* empty where there is none */
    struct tls_ctx *tls;            /* NULL: there is no TLS; outlives the service */
    bool implicit_tls;              /* from the first octet; otherwise by STLS */
    enum pop3_cleartext cleartext;
    const struct proxy_origin *origin;  /* what a proxy told of the client, or NULL */
};

/*
 * A client is there: greets it and serves it until it ends. in and out (the
 * same, or two) belong to the session from now on; the entry is copied.
 */
void pop3_session_start(struct pop3_service *service, int in, int out, const struct pop3_entry *entry);
size_t pop3_service_sessions(const struct pop3_service *service);
/*
 * Ends the sessions that this names, without a deletion and without a word to
 * the client: by the id of one, or by the address of an open maildrop. One
 * whose QUIT is being committed finishes that. told() is called before each.
 */
void pop3_service_kick(struct pop3_service *service, struct span subject,
                       void (*told)(void *arg, const char *id, struct span address), void *arg);
/*
 * Ends every session without a deletion: those in the middle of a command,
 * a QUIT that is being committed among them, finish it first.
 */
void pop3_service_close_all(struct pop3_service *service);

#endif
