/*
 * config.c - what a configuration says, once it was read: of each listener, and
 * what is to be forgotten of it by a process that must not know.
 */
#include "daemon/config/config.h"

#include <string.h>

#include "auth/mechanism.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/net/proxy.h"
#include "daemon/net/tls_tickets.h"

static const struct option daemon_rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct daemon_settings, field) },
#include "daemon/config/options.def"
#undef OPTION
};
const struct option_table daemon_options = {
    daemon_rows, sizeof daemon_rows / sizeof daemon_rows[0], sizeof(struct daemon_settings)
};

static const struct option listener_rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct listener_settings, field) },
#include "daemon/config/listener.def"
#undef OPTION
};
const struct option_table listener_options = {
    listener_rows, sizeof listener_rows / sizeof listener_rows[0], sizeof(struct listener_settings)
};

/* --- what a process is not to know --- */

static void forget(char *s)
{
    if (s != NULL)
        secret_wipe(s, strlen(s));
}

void config_forget_auth(struct config *c)
{
    forget(c->conninfo_auth);
    forget(c->storage.database_auth);
    forget(c->storage.database_admin);
}

static void forget_certificates(struct config *c)
{
    for (size_t i = 0; c->certificates != NULL && i <= c->listeners.count; i++)
        tls_ctx_free(&c->certificates[i]);
    mem_free(c->certificates);
    c->certificates = NULL;
    tls_out_free(&c->relay_tls);
    tls_tickets_free(&c->tickets);
}

void config_forget_sessions(struct config *c, unsigned needs)
{
    if (needs & NEEDS_LOGINS) {
        forget_certificates(c);
        forget(c->conninfo_mail);
        forget(c->storage.database_mail);
    }
    if (needs & NEEDS_DELIVERIES) {
        forget(c->conninfo_lmtp);
        forget(c->storage.database_lmtp);
    }
    forget(c->storage.database_admin);
}

/* --- listeners --- */

const struct listener_settings *config_listener(const struct config *c, size_t i)
{
    return i < c->listeners.count ? (const struct listener_settings *)c->listeners.items + i : &c->unlisted;
}

const struct protocol *config_protocol(const struct config *c, size_t i)
{
    return protocols[config_listener(c, i)->protocol];
}

size_t config_first(const struct config *c, const struct protocol *protocol)
{
    size_t i = 0;

    while (i < c->listeners.count && config_protocol(c, i) != protocol)
        i++;
    return i;
}

size_t config_inetd(const struct config *c, const struct protocol *protocol)
{
    for (size_t i = 0; i < c->listeners.count; i++)
        if (config_listener(c, i)->passed && config_protocol(c, i) == protocol)
            return i;
    return config_first(c, protocol);
}

unsigned config_speaks(const struct config *c)
{
    unsigned set = c->listeners.count == 0 ? protocol_bit(protocols[0]) : 0;

    for (size_t i = 0; i < c->listeners.count; i++)
        set |= protocol_bit(config_protocol(c, i));
    return set;
}

const void *config_settings(const struct config *c, const struct protocol *protocol)
{
    static const size_t at[PROTOCOLS] = {
#define PROTOCOL(name, title) [PROTOCOL_##name] = offsetof(struct config, name),
#include "daemon/config/protocols.def"
#undef PROTOCOL
    };
    size_t i = 0;

    while (protocols[i] != protocol)
        i++;
    return (const char *)c + at[i];
}

static const char *user_of(const struct config *c, const struct protocol *protocol)
{
    const char *own = protocol->user != NULL ? protocol->user(config_settings(c, protocol)) : "";

    return own[0] != '\0' ? own : c->daemon.user;
}

const char *config_user(const struct config *c, unsigned set)
{
    size_t i = 0;

    while (!(set & protocol_bit(protocols[i])))
        i++;
    return user_of(c, protocols[i]);
}

unsigned config_together(const struct config *c, unsigned set)
{
    const char *user = config_user(c, set);
    unsigned together = 0;

    for (size_t i = 0; i < PROTOCOLS; i++)
        if ((set & protocol_bit(protocols[i])) && strcmp(user, user_of(c, protocols[i])) == 0)
            together |= protocol_bit(protocols[i]);
    return together;
}

struct tls_files config_tls_files(const struct config *c, size_t i)
{
    const struct listener_settings *l = config_listener(c, i);
    struct tls_files files = {
        .certificate = l->certificate, .key = l->key, .sni_directory = l->sni_directory,
        .clients = {
            .verify = l->client_verify, .identity = l->client_identity, .ca = l->client_ca, .crl = l->client_crl,
        },
    };

    if (l->certificate[0] == '\0') {
        files.certificate = c->tls.tls_certificate;
        files.key = c->tls.tls_key;
        files.sni_directory = c->tls.tls_sni_directory;
    }
    return files;
}

struct session_entry config_entry(const struct config *c, size_t i)
{
    const struct listener_settings *l = config_listener(c, i);
    size_t k = i < c->listeners.count ? i : c->listeners.count;

    return (struct session_entry){
        .default_domain = l->default_domain,
        .tls = c->certificates != NULL ? c->certificates[k] : NULL,
        .implicit_tls = l->tls == LISTENER_TLS_IMPLICIT,
        .cleartext = l->cleartext_login,
    };
}

void config_believe(const struct config *c, size_t i, struct proxy_origin *origin)
{
    const struct listener_settings *l = config_listener(c, i);

    if (!l->proxy_tls)
        origin->tls = false;
    if (!origin->tls || l->client_identity != TLS_IDENTITY_CN || strchr(origin->client_name, '@') == NULL)
        origin->client_name[0] = '\0';
}

/* The mechanisms that the i-th listener can offer, to a client for which most is possible. */
static unsigned offered_at(const struct config *c, size_t i)
{
    const struct listener_settings *l = config_listener(c, i);
    const bool tls = l->tls != LISTENER_TLS_NONE && config_tls_files(c, i).certificate[0] != '\0';
    const bool password = tls || l->proxy_tls || l->cleartext_login != CLEARTEXT_NEVER;
    const bool identity = (tls && l->client_verify != TLS_VERIFY_NONE) ||
                          (l->proxy_tls && l->client_identity == TLS_IDENTITY_CN);
    unsigned offered = 0;

    for (unsigned m = 0; m < MECHANISMS; m++) {
        bool possible = password;

        if (mechanisms[m].flags & MECH_CERTIFICATE)
            possible = identity;
        else if (mechanisms[m].flags & MECH_BINDS)
            possible = tls;
        else if (!(mechanisms[m].flags & MECH_SENDS_PASSWORD))
            possible = password || c->pop3.sasl_without_tls;
        if (possible)
            offered |= MECH_BIT(m);
    }
    return offered;
}

unsigned config_mechanisms(const struct config *c)
{
    unsigned offered = 0;

    /* The last one is for a socket that is passed to us and that no listener of the file is for. */
    for (size_t i = 0; i <= c->listeners.count; i++)
        if (config_protocol(c, i)->needs & NEEDS_LOGINS)
            offered |= offered_at(c, i);
    return c->pop3.sasl_mechanisms & offered;
}
