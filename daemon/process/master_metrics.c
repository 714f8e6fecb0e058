/*
 * master_metrics.c - keeps the process that shows the metrics running, and an
 * eye on when certificates end.
 *
 * The server goes on without it: what cannot be bound or forked is tried again
 * each second, and complained of once.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/metrics.h"
#include "daemon/process/certs.h"
#include "daemon/process/master_impl.h"
#include "daemon/control/metrics_http.h"

enum { AGAIN_MS = 1000 };

static void end_process(struct master *m)
{
    if (m->metrics > 0)
        /* it has nothing to finish; reap() finds it later, and it is not ours any more */
        kill(m->metrics, SIGKILL);
    m->metrics = 0;
}

void master_metrics_stop(struct master *m)
{
    end_process(m);
    if (m->metrics_fd >= 0)
        close(m->metrics_fd);
    m->metrics_fd = -1;
    mem_free(m->metrics_listen);
    m->metrics_listen = NULL;
    m->metrics_at = NEVER;
}

/*
 * The names of files are not in the memory that all processes share, where a
 * worker could write them, so the process that shows them is another one now.
 */
static void show_ends(struct master *m)
{
    struct buf text = BUF_EMPTY;

    tls_ends_metrics(&m->ends, &text);
    bool other = metrics_set_more(text.data, buf_left(&text));
    buf_free(&text);
    if (other && m->metrics > 0) {
        end_process(m);
        m->metrics_at = master_now();
    }
}

void master_ends_new(struct master *m)
{
    tls_ends_free(&m->ends);
    certs_ends(m->config, &m->ends);
    show_ends(m);
    m->ends_at = 0;
    master_ends(m, master_now());
}

void master_ends(struct master *m, uint64_t now)
{
    int64_t clock = (int64_t)time(NULL);

    if (now < m->ends_at || m->stopping)
        return;
    int64_t next = tls_ends_tell(&m->ends, clock, m->config->tls.tls_warn_before / 1000, certs_log_end, NULL);
    m->ends_at = now + (uint64_t)(next - clock) * 1000;
}

void master_metrics(struct master *m, uint64_t now)
{
    const char *wanted = m->config->control.metrics_listen;
    bool first = m->metrics_listen == NULL || strcmp(m->metrics_listen, wanted) != 0;
    char *error = NULL;

    if (m->stopping)
        return;
    if (first && wanted[0] == '\0') {
        if (m->metrics_listen != NULL)
            master_metrics_stop(m);
        return;
    }
    if (first) {
        master_metrics_stop(m);
        m->metrics_listen = mem_str(wanted);
        m->metrics_at = now;
    }
    if (m->metrics > 0 || m->metrics_at > now)
        return;
    m->metrics_at = now + AGAIN_MS;
    if (m->metrics_fd < 0)
        m->metrics_fd = metrics_http_bind(wanted, &error);
    if (m->metrics_fd >= 0) {
        m->metrics = metrics_http_fork(m->config, m->metrics_fd);
        if (m->metrics > 0)
            m->metrics_at = NEVER;
    }
    if (m->metrics <= 0 && first)
        log_warning(NULL, "no metrics: %s; trying again", error != NULL ? error : strerror(errno));
    if (m->metrics < 0)
        m->metrics = 0;
    mem_drop(&error);
}

bool master_metrics_reap(struct master *m, pid_t pid)
{
    if (m->metrics == 0 || pid != m->metrics)
        return false;
    log_error(NULL, "the process for metrics has ended, another one is started");
    m->metrics = 0;
    m->metrics_at = master_now() + AGAIN_MS;
    return true;
}
