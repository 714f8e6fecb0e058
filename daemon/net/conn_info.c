/*
 * conn_info.c - what is known of a connection: who is at the other end, by
 * itself or by what a proxy tells, and by which TLS. Moves no octet.
 */
#include "daemon/base/mem.h"
#include "daemon/net/conn_impl.h"
#include "daemon/net/proxy.h"

void conn_set_origin(struct conn *c, const struct proxy_origin *origin)
{
    ASSERT(c->origin == NULL);
    c->local_peer = false;
    if (origin->known) {
        mem_free(c->peer);
        c->peer = mem_str(origin->peer);
        mem_free(c->local);
        c->local = mem_str(origin->local);
    }
    if (!origin->tls && origin->client_name[0] == '\0')
        return;
    c->origin = mem_alloc(sizeof *c->origin);
    *c->origin = *origin;
}

const char *conn_peer(const struct conn *c)
{
    return c->peer;
}

const char *conn_local(struct conn *c)
{
    if (c->local == NULL)       /* a system call that few ask for */
        c->local = fd_local_name(&c->io.out);
    return c->local;
}

bool conn_is_local(const struct conn *c)
{
    return c->local_peer;
}

const char *conn_tls_version(const struct conn *c)
{
    if (c->io.tls == NULL && c->origin != NULL && c->origin->tls)
        return c->origin->tls_version[0] != '\0' ? c->origin->tls_version : "TLS";
    return conn_tls_get_version(&c->io);
}

const char *conn_tls_cipher(const struct conn *c)
{
    if (c->io.tls == NULL && c->origin != NULL && c->origin->tls)
        return c->origin->tls_cipher[0] != '\0' ? c->origin->tls_cipher : "unknown";
    return conn_tls_get_cipher(&c->io);
}

const char *conn_tls_error(const struct conn *c)
{
    return conn_tls_get_error(&c->io);
}

uint64_t conn_octets_in(const struct conn *c)
{
    return c->octets_in;
}

uint64_t conn_octets_out(const struct conn *c)
{
    return c->octets_out;
}

size_t conn_channel_binding(const struct conn *c, enum conn_binding type, unsigned char out[CONN_BINDING_MAX])
{
    return conn_tls_binding(&c->io, type == CONN_TLS_UNIQUE, out, CONN_BINDING_MAX);
}

const char *conn_client_identity(const struct conn *c)
{
    if (c->io.tls == NULL && c->origin != NULL && c->origin->client_name[0] != '\0')
        return c->origin->client_name;
    return conn_tls_get_identity(&c->io);
}
