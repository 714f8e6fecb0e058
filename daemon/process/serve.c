/*
 * serve.c - puts together what a session needs, and takes it apart again.
 *
 * It runs with the rights of a worker: whatever needs more was done before.
 */
#include "daemon/process/serve.h"

#include "auth/client/client.h"
#include "daemon/base/log.h"
#include "daemon/base/metrics.h"
#include "daemon/net/loop.h"
#include "daemon/session/session.h"
#include "storage/deliver/deliver.h"
#include "storage/maildrop/store.h"

/* The master sees the end of a helper too and replaces the cell: nothing is left to do here. */
static void helper_lost(void *arg)
{
    (void)arg;
    log_debug(NULL, "an auth helper disconnected");
}

enum { LOG_FIRST_MS = 10, LOG_MOST_MS = 500 };

static void log_again(void *arg)
{
    struct serve *s = arg;
    size_t before = log_waiting();

    if (log_flush()) {
        s->log_pause = 0;
        return;
    }
    if (log_waiting() < before)
        s->log_pause = LOG_FIRST_MS;
    else
        s->log_pause = s->log_pause * 2 < LOG_MOST_MS ? s->log_pause * 2 : LOG_MOST_MS;
    timer_set(s->log_timer, s->log_pause);
}

/* A log daemon that was busy for a moment has time soon; for one that has stopped, twice a second is enough. */
static void log_waits(void *arg)
{
    struct serve *s = arg;

    if (s->log_pause > 0)
        return;
    s->log_pause = LOG_FIRST_MS;
    timer_set(s->log_timer, s->log_pause);
}

/* With the parts that it needs, which no other may have needed yet. */
static struct service *start_protocol(struct serve *s, const struct config *config, const struct protocol *protocol,
                                      const int *auth, size_t auth_count, const struct serve_shared *shared,
                                      const struct serve_calls *calls)
{
    if ((protocol->needs & NEEDS_LOGINS) && s->store == NULL) {
        s->store = store_new(s->loop, &config->storage, config->conninfo_mail, calls->wrong_schema, calls->arg);
        s->auth = auth_client_new(s->loop, auth, auth_count, (uint64_t)config->auth.auth_deadline, helper_lost, NULL);
    }
    if ((protocol->needs & NEEDS_DELIVERIES) && s->deliver == NULL)
        s->deliver = deliver_new(s->loop, &config->storage, config->conninfo_lmtp, calls->wrong_schema, calls->arg);
    return protocol->serve(&(struct service_host){
        .loop = s->loop,
        .settings = config_settings(config, protocol),
        .store = s->store,
        .auth = s->auth,
        .tls_out = config->relay_tls,
        .logins = shared->logins,
        .limits = shared->limits,
        .limits_area = shared->limits_area,
        .account_failures = (uint32_t)config->auth.auth_failures,
        .failure_time = (uint64_t)config->auth.auth_failure_time,
        .deliver = s->deliver,
        .session_ended = calls->session_ended,
        .arg = calls->arg,
    });
}

void serve_start(struct serve *s, const struct config *config, unsigned serves, const int *auth,
                 size_t auth_count, const struct serve_shared *shared, const struct serve_calls *calls)
{
    *s = (struct serve){ .loop = loop_new(), .lanes = (size_t)config->storage.database_lanes };
    s->log_timer = timer_new(s->loop, log_again, s);
    log_when_waiting(log_waits, s);
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (serves & protocol_bit(protocols[i]))
            s->services[i] = start_protocol(s, config, protocols[i], auth, auth_count, shared, calls);
}

void serve_client(struct serve *s, const struct protocol *protocol, int in, int out, const struct session_entry *entry)
{
    size_t i = 0;

    while (protocols[i] != protocol)
        i++;
    protocol->start(s->services[i], in, out, entry);
}

void serve_drain(struct serve *s)
{
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (s->services[i] != NULL)
            service_drain(s->services[i]);
}

void serve_close_all(struct serve *s)
{
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (s->services[i] != NULL)
            service_close_all(s->services[i]);
}

size_t serve_sessions(const struct serve *s)
{
    size_t count = 0;

    for (size_t i = 0; i < PROTOCOLS; i++)
        if (s->services[i] != NULL)
            count += service_sessions(s->services[i]);
    return count;
}

void serve_measure(const struct serve *s)
{
    for (size_t i = 0; i < PROTOCOLS; i++)
        metric_set(protocols[i]->open, s->services[i] != NULL ? service_sessions(s->services[i]) : 0);
    metric_set(GAUGE_LMTP_LANES_UP, s->deliver != NULL ? deliver_lanes_up(s->deliver) : 0);
    if (s->store != NULL) {
        metric_set(GAUGE_MAILDROPS, store_held(s->store));
        metric_set(GAUGE_LANES, s->lanes);
        metric_set(GAUGE_LANES_UP, store_lanes_up(s->store));
        metric_set(GAUGE_LANES_BUSY, store_lanes_busy(s->store));
        metric_set(GAUGE_HELPERS, auth_client_alive(s->auth));
        metric_set(GAUGE_HELPERS_SILENT, auth_client_silent(s->auth));
        metric_set(GAUGE_HELPER_QUEUE, auth_client_waiting(s->auth));
    }
    metrics_beat();
}

void serve_stop(struct serve *s)
{
    log_when_waiting(NULL, NULL);
    timer_free(&s->log_timer);
    for (size_t i = 0; i < PROTOCOLS; i++)
        service_free(&s->services[i]);
    deliver_free(&s->deliver);
    if (s->store != NULL) {
        auth_client_free(&s->auth);
        store_free(&s->store);
    }
    loop_free(&s->loop);
}
