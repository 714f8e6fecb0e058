/*
 * config.h - the whole configuration of posternd: every module's options and
 * the listeners, read from one file, checked one by one and together.
 */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "auth/settings.h"
#include "daemon/base/control.h"
#include "daemon/base/log.h"
#include "daemon/base/options.h"
#include "daemon/config/protocols.h"
#include "daemon/lmtp/lmtp.h"
#include "daemon/net/tls_ctx.h"
#include "daemon/net/tls_out.h"
#include "daemon/pop3/pop3.h"
#include "storage/maildrop/store.h"

struct proxy_origin;

enum sandbox_mode { SANDBOX_ON, SANDBOX_LOG, SANDBOX_OFF };

struct daemon_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/config/options.def"
#undef OPTION
};

enum listener_tls { LISTENER_TLS_UNSET, LISTENER_TLS_IMPLICIT, LISTENER_TLS_STLS, LISTENER_TLS_NONE };

struct listener_settings {
#define OPTION(field, type, def, min, max, text) OPTION_C_##type field;
#include "daemon/config/listener.def"
#undef OPTION
};

extern const struct option_table daemon_options;
extern const struct option_table listener_options;

struct config {
    struct daemon_settings daemon;
    struct control_settings control;
    struct storage_settings storage;
    struct auth_settings auth;
    struct tls_settings tls;
#define PROTOCOL(name, title) struct name##_settings name;
#include "daemon/config/protocols.def"
#undef PROTOCOL
    struct option_list listeners;
    struct listener_settings unlisted;  /* of a socket that no listener of the file is for: all defaults */
    struct tls_ctx **certificates;      /* by listener, the last one of `unlisted`; NULL before certs_load() */
    struct tls_out *relay_tls;          /* to old servers; NULL where there are none, or before certs_load() */
    struct tls_tickets *tickets;        /* of all of them; NULL where no TLS session is resumed */
    char *conninfo_mail, *conninfo_auth, *conninfo_lmtp;    /* complete; NULL where they could not be made */
};

/* What the way of starting asks of the file. */
enum {
    CONFIG_LISTENERS = 1,   /* there must be one: sockets are ours to make */
    CONFIG_DETACHED = 2,    /* there will be no standard error to log to */
};

/*
 * Reads and checks; tells every problem, and how many there were in
 * *problems_r. The result is never NULL and complete enough to open the log
 * by, but with problems it is good for nothing else.
 */
struct config *config_load(const char *file, unsigned flags, options_problem *problem, void *arg, int *problems_r);
void config_free(struct config **config);

/* An options_problem: "FILE:LINE: text" on the stdio stream arg. */
void config_print_problem(void *arg, const char *file, int line, const char *text);
/* The same to the log. */
void config_log_problem(void *arg, const char *file, int line, const char *text);

/* The i-th listener, or `unlisted` where the file has fewer. */
const struct listener_settings *config_listener(const struct config *config, size_t i);
/* What the i-th listener speaks; the first of protocols[] where the file has fewer. */
const struct protocol *config_protocol(const struct config *config, size_t i);
/* The first listener for it; the number of listeners where there is none. */
size_t config_first(const struct config *config, const struct protocol *protocol);
/*
 * Whose options are those of a session under --inetd: of the first listener for it to which clients
 * are passed, or else of the first one; the number of listeners where there is none.
 */
size_t config_inetd(const struct config *config, const struct protocol *protocol);
/* The set of protocols that there are listeners for; without any, what is spoken where nothing is said. */
unsigned config_speaks(const struct config *config);
/* System user of the workers that serve the first of the set. */
const char *config_user(const struct config *config, unsigned set);
/* Those of the set that the same workers serve, the first with all that have the same user. */
unsigned config_together(const struct config *config, unsigned set);
/* The settings of a protocol: of its table of options. */
const void *config_settings(const struct config *config, const struct protocol *protocol);
/* The files of its certificate; that one's name is empty where it has none. */
struct tls_files config_tls_files(const struct config *config, size_t i);
/*
 * What a client that comes in there may do, but for `trust` and `origin`. It may have TLS once
 * certs_load() has been called.
 */
struct session_entry config_entry(const struct config *config, size_t i);

/*
 * The mechanisms (MECH_BIT()) that are configured and that at least one POP3 listener can offer:
 * an auth helper serves no others.
 */
unsigned config_mechanisms(const struct config *config);

/* Takes away what the i-th listener does not believe a proxy. */
void config_believe(const struct config *config, size_t i, struct proxy_origin *origin);

/*
 * Overwrites how to become the auth role at the database, or the roles of sessions with these
 * NEEDS_, for logins with the keys of certificates: for a process that is not to know.
 */
void config_forget_auth(struct config *config);
void config_forget_sessions(struct config *config, unsigned needs);

/* The sample configuration; the rows of postern.conf(5). */
void config_sample(FILE *out);
void config_manual(FILE *out);

#endif
