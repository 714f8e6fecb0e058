/*
 * cert_watch.h - the master's eye on when certificates end. Times are monotonic ms.
 */
#ifndef POSTERN_CERT_WATCH_H
#define POSTERN_CERT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"
#include "daemon/net/tls_ends.h"

struct cert_watch {
    struct tls_ends ends;       /* of what the configuration of now has read */
    uint64_t at;                /* when to look at them next */
};

/* The configuration is another one. True if the metrics tell others than before, as metrics_set_more() says. */
bool cert_watch_renew(struct cert_watch *watch, const struct config *config);
/* Logs what is due. */
void cert_watch_tell(struct cert_watch *watch, const struct config *config, uint64_t now);
void cert_watch_free(struct cert_watch *watch);

#endif
