/*
 * cert_watch.c - when what certs.c has read ends: in the metrics, and in the log
 * while there is time to renew it.
 */
#include "daemon/process/cert_watch.h"

#include <time.h>

#include "daemon/base/buf.h"
#include "daemon/base/metrics.h"
#include "daemon/process/certs.h"

bool cert_watch_renew(struct cert_watch *w, const struct config *config)
{
    struct buf text = BUF_EMPTY;

    tls_ends_free(&w->ends);
    certs_ends(config, &w->ends);
    w->at = 0;
    tls_ends_metrics(&w->ends, &text);
    bool other = metrics_set_more(text.data, buf_left(&text));
    buf_free(&text);
    return other;
}

void cert_watch_tell(struct cert_watch *w, const struct config *config, uint64_t now)
{
    int64_t clock = (int64_t)time(NULL), next;

    if (now < w->at)
        return;
    next = tls_ends_tell(&w->ends, clock, config->tls.tls_warn_before / 1000, tls_ends_log, NULL);
    w->at = now + (uint64_t)(next - clock) * 1000;
}

void cert_watch_free(struct cert_watch *w)
{
    tls_ends_free(&w->ends);
}
