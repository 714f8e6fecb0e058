/*
 * certs.h - the certificates of all listeners, read while we may.
 */
#ifndef POSTERN_CERTS_H
#define POSTERN_CERTS_H

#include "daemon/config.h"

/*
 * Reads what the configuration names into config->certificates. Every problem
 * is told; returns how many. before is what ran until now, or NULL: its clients
 * may resume their TLS sessions.
 */
int certs_load(struct config *config, const char *file, const struct config *before, options_problem *problem, void *arg);
/* Logs a warning for each listener that clients cannot log in to: likely its configuration is older than TLS here. */
void certs_warn(const struct config *config);

#endif
