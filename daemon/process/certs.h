/*
 * certs.h - the certificates of all listeners, read while we may.
 */
#ifndef POSTERN_CERTS_H
#define POSTERN_CERTS_H

#include "daemon/config/config.h"
#include "daemon/net/tls_ends.h"

/*
 * Reads what the configuration names into config->certificates. Every problem
 * is told; returns how many. before is what ran until now, or NULL: its clients
 * may resume their TLS sessions.
 */
int certs_load(struct config *config, const char *file, const struct config *before, options_problem *problem,
               void *arg);
/* The same of the i-th listener alone, for one session; later: one that may never need them (tls_ctx_later()). */
int certs_load_one(struct config *config, size_t i, bool later, const char *file, options_problem *problem,
                   void *arg);
/* Adds when what was read ends, to be freed with tls_ends_free(). */
void certs_ends(const struct config *config, struct tls_ends *ends);
/* Logs a warning for each listener that clients cannot log in to: likely its configuration is older than TLS here. */
void certs_warn(const struct config *config);

#endif
