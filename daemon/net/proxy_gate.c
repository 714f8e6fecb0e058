/*
 * proxy_gate.c - waits for PROXY headers. Owns the sockets that have not sent
 * theirs. Takes the octets of a header out of a socket and not one more: what
 * comes behind may be the beginning of a handshake.
 */
#include "daemon/net/proxy_gate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/network.h"
#include "daemon/net/fd.h"
#include "daemon/net/loop.h"

/* --- whom to believe --- */

struct proxy_trust {
    bool by_unix;
    struct network_list *networks;
};

struct proxy_trust *proxy_trust_new(const char *text, char **error_r)
{
    struct proxy_trust *trust = mem_zalloc(sizeof *trust);

    trust->by_unix = strcmp(text, "unix") == 0;
    trust->networks = network_list_new(trust->by_unix ? "" : text, error_r);
    if (trust->networks == NULL)
        proxy_trust_free(&trust);
    return trust;
}

void proxy_trust_free(struct proxy_trust **trust)
{
    if (*trust == NULL)
        return;
    network_list_free(&(*trust)->networks);
    mem_free(*trust);
    *trust = NULL;
}

static bool trusts_name(const struct proxy_trust *trust, const char *peer)
{
    struct network_address address;

    if (strcmp(peer, "unix") == 0)
        return trust->by_unix;
    return network_of_peer(peer, &address) && network_list_has(trust->networks, &address);
}

static char *peer_of(int fd)
{
    const struct fd socket = { .fd = fd, .kind = FD_SOCKET };
    bool local;

    return fd_peer_name(&socket, &local);
}

bool proxy_trusts(const struct proxy_trust *trust, int fd)
{
    char *peer = peer_of(fd);
    bool trusted = trusts_name(trust, peer);

    mem_free(peer);
    return trusted;
}

/* --- the gate --- */

/* One that waits. */
struct guest {
    struct proxy_gate *gate;
    struct guest *next, *prev;
    void *client;               /* whose it is, for the owner of the gate */
    int fd;
    char *peer;
    struct buf have;            /* of its header */
    struct watch *watch;
    struct timer *timer;
};

struct proxy_gate {
    struct loop *loop;
    uint64_t ms;
    proxy_passed *passed;
    void *arg;
    struct guest *guests;
    size_t count;
};

struct proxy_gate *proxy_gate_new(struct loop *loop, uint64_t ms, proxy_passed *passed, void *arg)
{
    struct proxy_gate *gate = mem_zalloc(sizeof *gate);

    *gate = (struct proxy_gate){ .loop = loop, .ms = ms, .passed = passed, .arg = arg };
    return gate;
}

/* Its socket stays open. */
static void guest_free(struct guest *g)
{
    if (g->prev != NULL)
        g->prev->next = g->next;
    else
        g->gate->guests = g->next;
    if (g->next != NULL)
        g->next->prev = g->prev;
    g->gate->count--;
    watch_free(&g->watch);
    timer_free(&g->timer);
    buf_wipe(&g->have);         /* what was seen behind the header is the client's */
    mem_free(g->peer);
    mem_free(g);
}

static void turn_out(struct guest *g)
{
    struct proxy_gate *gate = g->gate;
    void *client = g->client;

    close(g->fd);
    guest_free(g);
    gate->passed(gate->arg, client, -1, NULL);
}

static void refuse(struct guest *g, const char *why)
{
    log_warning(NULL, "proxy=%s closed: %s", g->peer, why);
    turn_out(g);
}

/* Before a whole header. Without an octet it only wanted to know whether there is a listener: a health check. */
static void left(struct guest *g)
{
    if (buf_left(&g->have) > 0) {
        refuse(g, "the connection ended within the PROXY header");
        return;
    }
    log_debug(NULL, "proxy=%s disconnected without a PROXY header", g->peer);
    turn_out(g);
}

static void let_in(struct guest *g, const struct proxy_origin *origin)
{
    struct proxy_gate *gate = g->gate;
    void *client = g->client;
    int fd = g->fd;

    log_debug(NULL, "proxy=%s client=%s", g->peer, origin->known ? origin->peer : "unknown");
    guest_free(g);
    gate->passed(gate->arg, client, fd, origin);
}

/* Looks at what has come, and takes only what belongs to the header. */
static void look(struct guest *g)
{
    size_t before = buf_left(&g->have);
    char *room = buf_reserve(&g->have, PROXY_MAX - before);
    struct proxy_origin origin;
    const char *why = NULL;
    ssize_t n;
    size_t whole;
    int len;

    do
        n = recv(g->fd, room, PROXY_MAX - before, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        left(g);
        return;
    }
    buf_commit(&g->have, (size_t)n);
    len = proxy_parse(buf_span(&g->have), &origin, &why);
    if (len < 0) {
        refuse(g, why);
        return;
    }
    /* They are there: they were seen. */
    whole = len > 0 ? (size_t)len - before : (size_t)n;
    if (recv(g->fd, room, whole, MSG_DONTWAIT) != (ssize_t)whole)
        refuse(g, "could not read the PROXY header");
    else if (len > 0)
        let_in(g, &origin);
}

static void on_octets(void *arg, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    look(arg);
}

static void on_time(void *arg)
{
    refuse(arg, "no PROXY header received in time");
}

void proxy_gate_enter(struct proxy_gate *gate, int fd, const struct proxy_trust *trust, void *client)
{
    struct guest *g = mem_zalloc(sizeof *g);

    g->gate = gate;
    g->client = client;
    g->fd = fd;
    g->peer = peer_of(fd);
    g->next = gate->guests;
    if (g->next != NULL)
        g->next->prev = g;
    gate->guests = g;
    gate->count++;
    if (fd_peer_has_gone(g->peer)) {
        left(g);
        return;
    }
    if (!trusts_name(trust, g->peer)) {
        refuse(g, "not in `proxy` of the listener");
        return;
    }
    g->watch = watch_new(gate->loop, fd, on_octets, g);
    watch_set(g->watch, LOOP_READ);
    g->timer = timer_new(gate->loop, on_time, g);
    timer_set(g->timer, gate->ms);
}

size_t proxy_gate_waiting(const struct proxy_gate *gate)
{
    return gate->count;
}

void proxy_gate_free(struct proxy_gate **gate_p)
{
    struct proxy_gate *gate = *gate_p;

    *gate_p = NULL;
    if (gate == NULL)
        return;
    while (gate->guests != NULL) {
        close(gate->guests->fd);
        guest_free(gate->guests);
    }
    mem_free(gate);
}
