/*
 * proxy_put.h - the header of the PROXY protocol, as we say it to a server that we connect to for a
 * client of ours. proxy.h reads one.
 */
#ifndef POSTERN_NET_PROXY_PUT_H
#define POSTERN_NET_PROXY_PUT_H

#include <stddef.h>

enum { PROXY_PUT_MAX = 128 };

/*
 * version: 1 or 2. peer and local: of the client, as conn_peer() and conn_local() have them; where
 * one of them is no internet address, the header says that it is not known. Returns its octets.
 */
size_t proxy_put(int version, const char *peer, const char *local, char out[PROXY_PUT_MAX]);

#endif
