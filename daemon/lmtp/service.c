/*
 * service.c - all LMTP sessions of a worker, and LMTP as a row of functions.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/lmtp/transaction.h"
#include "storage/deliver/spool.h"

static struct service *serve(const struct service_host *host)
{
    struct lmtp_service *service = mem_zalloc(sizeof *service);
    const struct lmtp_settings *settings = host->settings;

    service_init(&service->base, &lmtp_protocol, host);
    service->space = spool_space_new(settings->lmtp_spool_dir, (uint64_t)settings->lmtp_spool_memory,
                                     (uint64_t)settings->lmtp_spool_size);
    spool_space_beside(service->space, host->loop);
    service->over_quota_permanent = settings->lmtp_over_quota == LMTP_PERMANENT;
    service->disabled_permanent = settings->lmtp_disabled == LMTP_PERMANENT;
    service->refuse_list = settings->lmtp_list_over_quota == LMTP_LIST_REFUSE;
    service->reject_bare = settings->bare_newline == LMTP_BARE_REJECT;
    service->reject_nul = settings->nul_octets == LMTP_NUL_REJECT;
    if (settings->lmtp_hostname[0] != '\0')
        snprintf(service->hostname, sizeof service->hostname, "%s", settings->lmtp_hostname);
    else if (gethostname(service->hostname, sizeof service->hostname - 1) != 0)
        snprintf(service->hostname, sizeof service->hostname, "localhost");
    return &service->base;
}

static void end(struct service *base)
{
    struct lmtp_service *service = (struct lmtp_service *)base;

    spool_space_free(&service->space);
    mem_free(service);
}

static void stop(struct session *s)
{
    lmtp_stop_between(lmtp_of(s));
    lmtp_end_now(lmtp_of(s));
}

static void abandon(struct session *session)
{
    struct lmtp_session *s = lmtp_of(session);

    if (s->state == LMTP_STORING)
        log_warning(lmtp_transaction_id(s).s, "closed with commit outcome unknown");
    s->base.end = END_LOST;
    lmtp_session_free(s);
}

static const char *user(const void *settings)
{
    return ((const struct lmtp_settings *)settings)->lmtp_user;
}

/* RFC 2033 section 5: never on the port of SMTP. LMTP has none of its own. */
static const char *check_port(int64_t port)
{
    if (port == 25)
        return "LMTP must not use port 25, the SMTP port";
    if (port == 110)
        return "110 is the POP3 port; set another for LMTP, usually 24";
    return NULL;
}

const struct protocol lmtp_protocol = {
    .name = "lmtp",
    .needs = NEEDS_DELIVERIES,
    .trusts = true,
    .id_digits = 16,
    .socket_mode = "0660",
    .accepted = METRIC_LMTP_SESSIONS,
    .open = GAUGE_SESSIONS_LMTP,
    .refusals = {
        [REFUSAL_CONFIG] = "421 4.3.5 server misconfigured\r\n",
        [REFUSAL_RESOURCES] = "421 4.3.2 this server is short of resources\r\n",
    },
    .options = &lmtp_options,
    .user = user,
    .check = lmtp_settings_check,
    .check_port = check_port,
    .serve = serve,
    .end = end,
    .start = lmtp_session_start,
    .drain = stop,
    .close = stop,
    .abandon = abandon,
};
