/*
 * proxy.h - the header of the PROXY protocol, by which a proxy in front of us
 * tells who its client is: versions 1 and 2 of
 * https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
 *
 * Pure: octets in, facts out. Whom to believe is decided elsewhere.
 */
#ifndef POSTERN_NET_PROXY_H
#define POSTERN_NET_PROXY_H

#include <stdbool.h>

#include "daemon/base/network.h"
#include "daemon/base/span.h"

/* Octets of the longest header that is taken. Those of haproxy with all it can tell are below 1,000. */
enum { PROXY_MAX = 4096 };

/* What was told. Texts are printable ASCII without blanks, or empty. */
struct proxy_origin {
    bool known;                 /* peer and local hold; otherwise the proxy speaks for itself (LOCAL) or cannot tell */
    char peer[NETWORK_PEER_SIZE];   /* the client, as conn_peer() writes it */
    char local[NETWORK_PEER_SIZE];  /* where it connected to */
    bool tls;                   /* the client came to the proxy by TLS */
    char tls_version[16], tls_cipher[64];
    char client_name[256];      /* common name of the client's certificate, which the proxy has verified */
};

/*
 * How many octets the header at the beginning of `in` has; 0 while it is not
 * complete (all of `in` belongs to it then); -1 if it is none, with static text
 * in *wrong_r. A result above 0 fills *origin_r.
 */
int proxy_parse(struct span in, struct proxy_origin *origin_r, const char **wrong_r);

#endif
