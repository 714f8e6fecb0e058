/*
 * metrics_process.c - keeps the process that shows the metrics running.
 *
 * The server goes on without it: what cannot be bound or forked is tried again
 * each second, and complained of once.
 */
#include "daemon/control/metrics_process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/control/metrics_http.h"

#define NEVER UINT64_MAX

enum { AGAIN_MS = 1000 };

struct metrics_process {
    pid_t pid;                  /* 0: none */
    int fd;                     /* where it listens, -1: nowhere */
    char *listen;               /* that one, as the option has it */
    uint64_t at;                /* when to start it; NEVER: it runs, or is not wanted */
};

struct metrics_process *metrics_process_new(void)
{
    struct metrics_process *p = mem_zalloc(sizeof *p);

    p->fd = -1;
    p->at = NEVER;
    return p;
}

void metrics_process_free(struct metrics_process **process)
{
    metrics_process_stop(*process);
    mem_free(*process);
    *process = NULL;
}

static void end_process(struct metrics_process *p)
{
    if (p->pid > 0)
        /* it has nothing to finish; reap() finds it later, and it is not ours any more */
        kill(p->pid, SIGKILL);
    p->pid = 0;
}

void metrics_process_stop(struct metrics_process *p)
{
    end_process(p);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    mem_free(p->listen);
    p->listen = NULL;
    p->at = NEVER;
}

/* The text is not in the memory that all processes share, where a worker could write it. */
void metrics_process_renew(struct metrics_process *p, uint64_t now)
{
    if (p->pid <= 0)
        return;
    end_process(p);
    p->at = now;
}

uint64_t metrics_process_deadline(const struct metrics_process *p)
{
    return p->at;
}

void metrics_process_keep(struct metrics_process *p, struct config *config, uint64_t now)
{
    const char *wanted = config->control.metrics_listen;
    bool first = p->listen == NULL || strcmp(p->listen, wanted) != 0;
    char *error = NULL;

    if (first && wanted[0] == '\0') {
        if (p->listen != NULL)
            metrics_process_stop(p);
        return;
    }
    if (first) {
        metrics_process_stop(p);
        p->listen = mem_str(wanted);
        p->at = now;
    }
    if (p->pid > 0 || p->at > now)
        return;
    p->at = now + AGAIN_MS;
    if (p->fd < 0)
        p->fd = metrics_http_bind(wanted, &error);
    if (p->fd >= 0) {
        p->pid = metrics_http_fork(config, p->fd);
        if (p->pid > 0)
            p->at = NEVER;
    }
    if (p->pid <= 0 && first)
        log_warning(NULL, "metrics disabled: %s; trying again", error != NULL ? error : strerror(errno));
    if (p->pid < 0)
        p->pid = 0;
    mem_drop(&error);
}

bool metrics_process_reap(struct metrics_process *p, pid_t pid, uint64_t now)
{
    if (p->pid == 0 || pid != p->pid)
        return false;
    log_error(NULL, "metrics process ended, starting another");
    p->pid = 0;
    p->at = now + AGAIN_MS;
    return true;
}
