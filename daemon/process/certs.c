/*
 * certs.c - a TLS context for each listener, one for those that share their
 * files.
 *
 * Runs in the master, or before a session of --inetd gives its rights up: keys
 * stay unreadable for the users of workers. It only reads.
 */
#include "daemon/process/certs.h"

#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/tls_tickets.h"

struct report {
    const char *file;
    options_problem *problem;
    void *arg;
    int line;
    int count;
};

static void report(void *arg, const char *text)
{
    struct report *r = arg;

    r->count++;
    r->problem(r->arg, r->file, r->line, text);
}

static bool same_files(struct tls_files a, struct tls_files b)
{
    return strcmp(a.certificate, b.certificate) == 0 && strcmp(a.key, b.key) == 0 &&
           strcmp(a.sni_directory, b.sni_directory) == 0 && a.clients.verify == b.clients.verify &&
           a.clients.identity == b.clients.identity && strcmp(a.clients.ca, b.clients.ca) == 0 &&
           strcmp(a.clients.crl, b.clients.crl) == 0;
}

/* What an earlier one has read; *tried_r: an earlier one had the same files. */
static struct tls_ctx *shared(const struct config *c, size_t i, bool *tried_r)
{
    struct tls_files files = config_tls_files(c, i);

    for (size_t k = 0; k < i; k++) {
        if (config_listener(c, k)->tls != LISTENER_TLS_NONE && same_files(files, config_tls_files(c, k))) {
            *tried_r = true;
            return c->certificates[k] != NULL ? tls_ctx_hold(c->certificates[k]) : NULL;
        }
    }
    return NULL;
}

static bool is_local(const char *address)
{
    return address[0] == '/' || strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

void certs_warn(const struct config *c)
{
    for (size_t i = 0; i < c->listeners.count; i++) {
        const struct listener_settings *l = config_listener(c, i);

        if (c->certificates[i] == NULL && !is_local(l->address) && l->cleartext_login != CLEARTEXT_ALWAYS)
            log_warning(
                NULL,
                "listener %s port %lld has no TLS and cleartext_login = \"%s\": clients on other hosts cannot log in",
                l->address, (long long)l->port, l->cleartext_login == CLEARTEXT_NEVER ? "never" : "local");
    }
}

/* The same keys as before, unless they are to live for another time. */
static struct tls_tickets *tickets(uint64_t life, const struct config *before)
{
    if (life == 0)
        return NULL;
    if (before != NULL && before->tickets != NULL && tls_tickets_life(before->tickets) == life)
        return tls_tickets_copy(before->tickets);
    return tls_tickets_new(life, clock_ms());
}

void certs_ends(const struct config *c, struct tls_ends *ends)
{
    for (size_t i = 0; c->certificates != NULL && i <= c->listeners.count; i++) {
        if (c->certificates[i] != NULL)
            tls_ends_add(ends, tls_ctx_ends(c->certificates[i]));
    }
}

typedef struct tls_ctx *reading(const struct tls_files *files, enum tls_version min_version,
                                struct tls_tickets *tickets, tls_problem *problem, void *arg);

/* others: what those before it have read is its, too. */
static void load(struct config *c, size_t i, bool others, reading *read, struct report *r)
{
    struct tls_files files = config_tls_files(c, i);
    bool tried = false;

    if (files.certificate[0] == '\0' || config_listener(c, i)->tls == LISTENER_TLS_NONE)
        return;
    r->line = config_listener(c, i)->certificate[0] != '\0' || config_listener(c, i)->client_ca[0] != '\0'
                  ? c->listeners.lines[i]
                  : 0;
    c->certificates[i] = others ? shared(c, i, &tried) : NULL;
    if (!tried)
        c->certificates[i] = read(&files, c->tls.tls_min, c->tickets, report, r);
}

/* Whose certificates of old servers are believed. */
static void load_relay(struct config *c, struct report *r)
{
    r->line = 0;
    if (c->pop3.pop3_relay_servers[0] != '\0')
        c->relay_tls = tls_out_new(c->pop3.pop3_relay_tls_ca, report, r);
}

int certs_load(struct config *c, const char *file, const struct config *before, options_problem *problem, void *arg)
{
    struct report r = { .file = file, .problem = problem, .arg = arg };

    c->tickets = tickets((uint64_t)c->tls.tls_ticket_life, before);
    c->certificates = mem_array(c->listeners.count + 1, sizeof(struct tls_ctx *));
    for (size_t i = 0; i <= c->listeners.count; i++)
        load(c, i, true, tls_ctx_new, &r);
    load_relay(c, &r);
    return r.count;
}

int certs_load_one(struct config *c, size_t i, bool later, const char *file, options_problem *problem, void *arg)
{
    struct report r = { .file = file, .problem = problem, .arg = arg };

    c->certificates = mem_array(c->listeners.count + 1, sizeof(struct tls_ctx *));
    load(c, i, false, later ? tls_ctx_later : tls_ctx_new, &r);
    load_relay(c, &r);
    return r.count;
}
