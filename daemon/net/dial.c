/*
 * dial.c - connects to one address after the other, on the loop.
 *
 * Owns the descriptor until it is handed over. Never waits, and looks up no name.
 */
#include "daemon/net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/net/loop.h"

enum { SHARE_LEAST_MS = 500 };

struct dial {
    struct loop *loop;
    char *addresses;
    const char *next;           /* in it; NULL: there is no other */
    uint16_t port;
    uint64_t share;
    dial_done *done;
    void *arg;
    int fd;                     /* -1: none is under way */
    struct watch *watch;
    struct timer *timer;        /* for the address that is tried, and for the first step */
    char why[128];
};

static void drop_socket(struct dial *d)
{
    watch_free(&d->watch);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

/* The next address, as a socket wants it. False: it is none. */
static bool take_address(struct dial *d, struct sockaddr_storage *to, socklen_t *len)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)to;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)to;
    char text[64];
    size_t n = strcspn(d->next, ",");

    memset(to, 0, sizeof *to);
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), d->next);
    d->next = d->next[n] == ',' ? d->next + n + 1 : NULL;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(d->port);
        *len = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
        return false;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(d->port);
    *len = sizeof *six;
    return true;
}

static void say(struct dial *d, const char *why)
{
    snprintf(d->why, sizeof d->why, "%s", why);
}

static void on_event(void *arg, int fd, unsigned events);

/* True: an attempt is under way. */
static bool begin(struct dial *d)
{
    struct sockaddr_storage to;
    socklen_t len;

    if (!take_address(d, &to, &len)) {
        say(d, "not an address");
        return false;
    }
    d->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0 || (connect(d->fd, (struct sockaddr *)(void *)&to, len) < 0 && errno != EINPROGRESS)) {
        say(d, strerror(errno));
        drop_socket(d);
        return false;
    }
    d->watch = watch_new(d->loop, d->fd, on_event, d);
    watch_set(d->watch, LOOP_WRITE);
    timer_set(d->timer, d->share);
    return true;
}

static void go_on(struct dial *d)
{
    while (d->next != NULL)
        if (begin(d))
            return;
    timer_stop(d->timer);
    d->done(d->arg, -1, d->why);
}

static void on_event(void *arg, int fd, unsigned events)
{
    struct dial *d = arg;
    int error = 0;
    socklen_t len = sizeof error;

    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0) {
        say(d, strerror(error));
        drop_socket(d);
        go_on(d);
        return;
    }
    watch_free(&d->watch);
    timer_stop(d->timer);
    d->fd = -1;
    d->done(d->arg, fd, "");
}

/* The first step, or an address has had its time. */
static void on_time(void *arg)
{
    struct dial *d = arg;

    if (d->fd >= 0)
        say(d, "no answer in time");
    drop_socket(d);
    go_on(d);
}

struct dial *dial_new(struct loop *loop, const char *addresses, uint16_t port, uint64_t ms, dial_done *done, void *arg)
{
    struct dial *d = mem_zalloc(sizeof *d);
    size_t count = 1;

    for (const char *at = addresses; *at != '\0'; at++)
        count += *at == ',';
    d->loop = loop;
    d->addresses = mem_str(addresses);
    d->next = d->addresses[0] != '\0' ? d->addresses : NULL;
    d->port = port;
    d->share = ms / count > SHARE_LEAST_MS ? ms / count : SHARE_LEAST_MS;
    d->done = done;
    d->arg = arg;
    d->fd = -1;
    say(d, "its name has no address");
    d->timer = timer_new(loop, on_time, d);
    timer_set(d->timer, 0);
    return d;
}

void dial_free(struct dial **dial)
{
    struct dial *d = *dial;

    if (d == NULL)
        return;
    *dial = NULL;
    drop_socket(d);
    timer_free(&d->timer);
    mem_free(d->addresses);
    mem_free(d);
}
