/*
 * metrics_http.h - the process that shows the metrics: /metrics for
 * Prometheus, /alive and /ready for health checks.
 */
#ifndef POSTERN_METRICS_HTTP_H
#define POSTERN_METRICS_HTTP_H

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/config/config.h"

/* Binds metrics_listen. The descriptor, or -1 with a text to mem_free(). */
int metrics_http_bind(const char *text, char **error_r);
/* Forks the process that serves there, as the user of the workers. Its pid, or -1 with errno. */
pid_t metrics_http_fork(struct config *config, int fd);

#endif
