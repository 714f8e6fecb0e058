/*
 * proxy_gate.h - connections of proxies, until their PROXY header has come.
 * Until then nothing else is read, and nothing is sent, whatever arrives.
 */
#ifndef POSTERN_NET_PROXY_GATE_H
#define POSTERN_NET_PROXY_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/net/proxy.h"

/* Section 2 asks for three seconds or more. */
enum { PROXY_PATIENCE_MS = 5000 };

struct loop;
struct proxy_gate;
struct proxy_trust;

/*
 * Who may send a header: networks as of network_list_new(), or "unix" for who
 * comes by a unix socket (whose mode says who that can be). NULL with the
 * reason in *error_r (mem_error()).
 */
struct proxy_trust *proxy_trust_new(const char *text, char **error_r);
void proxy_trust_free(struct proxy_trust **trust);
/* Is the other end of this socket one of them? */
bool proxy_trusts(const struct proxy_trust *trust, int fd);

/*
 * A connection is through: fd belongs to the called from now on, what it reads
 * is the client's. Or it was refused, logged and closed: then fd is -1 and
 * origin NULL. client is as it was given.
 */
typedef void proxy_passed(void *arg, void *client, int fd, const struct proxy_origin *origin);

/* Closes who has not sent a header within ms milliseconds. */
struct proxy_gate *proxy_gate_new(struct loop *loop, uint64_t ms, proxy_passed *passed, void *arg);
/* Closes all that wait, and nobody is told. */
void proxy_gate_free(struct proxy_gate **gate);
/* fd, a socket, belongs to the gate from now on. passed() may be called from within. */
void proxy_gate_enter(struct proxy_gate *gate, int fd, const struct proxy_trust *trust, void *client);
/* How many wait. */
size_t proxy_gate_waiting(const struct proxy_gate *gate);

#endif
