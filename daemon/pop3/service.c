/*
 * service.c - all POP3 sessions of a worker, and POP3 as a row of functions.
 *
 * Owns what its sessions share. Never touches a connection or the protocol:
 * dialogue.c and life.c do.
 */
#include "daemon/pop3/session.h"

#include <stdio.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/pop3/relays.h"

/* It goes into the greeting as it is. */
static bool is_host_name(const char *name)
{
    return name[0] != '\0' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

static struct service *serve(const struct service_host *host)
{
    const struct pop3_settings *settings = host->settings;
    struct pop3_service *service = mem_zalloc(sizeof *service);

    service_init(&service->base, &pop3_protocol, host);
    service->mechanisms = settings->sasl_mechanisms;
    if (gethostname(service->host_name, sizeof service->host_name) < 0 || !is_host_name(service->host_name))
        snprintf(service->host_name, sizeof service->host_name, "localhost");
    pop3_capa_make(service);
    service->guard = guard_new(host->limits, host->limits_area, settings, host->account_failures, host->failure_time);
    service->relays = relays_new(host->loop, settings);
    return &service->base;
}

static void end(struct service *base)
{
    struct pop3_service *service = (struct pop3_service *)base;

    pop3_capa_free(service);
    guard_free(&service->guard);
    relays_free(&service->relays);
    mem_free(service);
}

/* Nothing is said to a client that did not ask: an unsolicited line would be taken for the next reply. */
static void close_session(struct session *s)
{
    if (pop3_takes_line(pop3_of(s)))
        pop3_session_over(pop3_of(s), END_DRAIN);
}

static void kick(struct session *s)
{
    pop3_session_over(pop3_of(s), END_KICKED);
}

static void abandon(struct session *s)
{
    pop3_session_over(pop3_of(s), END_DRAIN);
}

const struct protocol pop3_protocol = {
    .name = "pop3",
    .needs = NEEDS_LOGINS,
    .id_digits = 12,
    .socket_mode = "0666",
    .accepted = METRIC_POP3_SESSIONS,
    .open = GAUGE_SESSIONS_POP3,
    .refusals = {
        [REFUSAL_CONFIG] = "-ERR [SYS/PERM] server misconfigured\r\n",
        [REFUSAL_RESOURCES] = "-ERR [SYS/TEMP] this server is short of resources, try again later\r\n",
    },
    .options = &pop3_options,
    .check = pop3_settings_check,
    .serve = serve,
    .end = end,
    .start = pop3_session_start,
    .close = close_session,
    .kick = kick,
    .abandon = abandon,
};
