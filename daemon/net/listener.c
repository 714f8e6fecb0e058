/*
 * listener.c - makes listening sockets, and accepts. Owns no descriptor: the
 * master keeps them over a reload, clients in the backlog must not be refused
 * because a worker ends.
 *
 * All workers watch the same sockets, each in its loop's own epoll; a
 * connection may wake several idle ones, of whom the first takes it.
 * EPOLLEXCLUSIVE would wake only one, but not from an epoll descriptor that is
 * itself watched by the loop's: measured, the kernel wakes them all as before.
 */
#include "daemon/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/net/loop.h"
#include "daemon/net/socket_dir.h"

enum { REST_MS = 100, COMPLAIN_MS = 60000 };

/* --- the master's half --- */

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* A listening descriptor, or -1 with errno. */
static int listen_at(const union address *address, socklen_t len, int backlog)
{
    const int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if ((address->any.sa_family == AF_UNIX || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0) &&
        /* Else "::" would take IPv4 too, and a listener of its own for that could not be bound. */
        (address->any.sa_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
        bind(fd, &address->any, len) == 0 && listen(fd, backlog) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* Removes a socket that nobody listens at any more. False, with errno, if it is in use or something else. */
static bool remove_stale(const union address *address, socklen_t len)
{
    struct stat st;

    if (lstat(address->un.sun_path, &st) < 0)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    /* With the wrong type on purpose: a living listener is told apart (EPROTOTYPE) and does not get a client of it. */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int result = connect(fd, &address->any, len), why = errno;
    close(fd);
    if (result < 0 && why == ECONNREFUSED)
        return unlink(address->un.sun_path) == 0;
    errno = EADDRINUSE;
    return false;
}

int listener_bind_path(const char *path, mode_t mode, gid_t group, int backlog, int *fd_r, char **error_r)
{
    union address address = { .un = { .sun_family = AF_UNIX } };

    if (strlen(path) >= sizeof address.un.sun_path) {
        mem_error(error_r, "could not listen at %s: the path is too long", path);
        return -1;
    }
    strcpy(address.un.sun_path, path);
    char *missing = NULL;
    if (!socket_dir_make(path, &missing)) {
        mem_error(error_r, "could not listen at %s: %s", path, missing);
        mem_drop(&missing);
        return -1;
    }
    /* Nobody gets in before the mode is what it shall be. */
    mode_t before = umask(0777);
    *fd_r = remove_stale(&address, sizeof address.un) ? listen_at(&address, sizeof address.un, backlog) : -1;
    umask(before);
    if (*fd_r >= 0 && (group == (gid_t)-1 || chown(path, (uid_t)-1, group) == 0) && chmod(path, mode) == 0)
        return 1;
    mem_error(error_r, "could not listen at %s: %s", path, strerror(errno));
    if (*fd_r >= 0) {
        unlink(path);
        close(*fd_r);
    }
    return -1;
}

/* 1; 0 where the system does not have the family; -1. The last two with the prose. */
static int bind_internet(const union address *address, const char *shown, uint16_t port, int backlog, int *fd_r,
                         char **error_r)
{
    socklen_t len = address->any.sa_family == AF_INET ? sizeof address->in : sizeof address->in6;

    *fd_r = listen_at(address, len, backlog);
    if (*fd_r >= 0)
        return 1;
    int why = errno;
    mem_error(error_r, "could not listen at %s port %u: %s", shown, port, strerror(why));
    return why == EAFNOSUPPORT || why == EADDRNOTAVAIL ? 0 : -1;
}

static union address any_address(sa_family_t family, uint16_t port)
{
    if (family == AF_INET)
        return (union address){ .in = { .sin_family = AF_INET, .sin_port = htons(port) } };
    return (union address){ .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
}

static sa_family_t family_of(int fd)
{
    union address address = { .any = { .sa_family = AF_UNSPEC } };
    socklen_t len = sizeof address;

    (void)getsockname(fd, &address.any, &len);
    return address.any.sa_family;
}

const char *listener_lacks(const int *fds, size_t count)
{
    if (count != 1)
        return count == 0 ? "IPv4 and IPv6" : NULL;
    return family_of(fds[0]) == AF_INET ? "IPv6" : "IPv4";
}

int listener_bind_rest(uint16_t port, int backlog, int fds[LISTENER_MAX_FDS], size_t count, char **error_r)
{
    static const sa_family_t families[LISTENER_MAX_FDS] = { AF_INET, AF_INET6 };
    size_t had = count;

    for (size_t i = 0; i < LISTENER_MAX_FDS; i++) {
        const union address any = any_address(families[i], port);

        if (had > 0 && family_of(fds[0]) == families[i])
            continue;
        switch (bind_internet(&any, "*", port, backlog, &fds[count], error_r)) {
        case 1:
            count++;
            break;
        case 0:
            break;
        default:
            while (count > had)
                close(fds[--count]);
            return -1;
        }
    }
    if (count == 0)
        return -1;
    mem_drop(error_r);
    return (int)count;
}

int listener_bind(const char *address, uint16_t port, int backlog, int fds_r[LISTENER_MAX_FDS], char **error_r)
{
    union address v4 = any_address(AF_INET, port), v6 = any_address(AF_INET6, port);
    const union address *one = &v4;

    if (address[0] == '/')
        return listener_bind_path(address, 0666, (gid_t)-1, backlog, fds_r, error_r);
    if (strcmp(address, "*") == 0)
        return listener_bind_rest(port, backlog, fds_r, 0, error_r);
    if (inet_pton(AF_INET6, address, &v6.in6.sin6_addr) == 1) {
        one = &v6;
    } else if (inet_pton(AF_INET, address, &v4.in.sin_addr) != 1) {
        mem_error(error_r, "could not listen at %s: not an address", address);
        return -1;
    }
    return bind_internet(one, address, port, backlog, fds_r, error_r) == 1 ? 1 : -1;
}

static bool has_family(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno != EAFNOSUPPORT;
    close(fd);
    return true;
}

const char *listener_needs(const char *address)
{
    unsigned char octets[sizeof(struct in6_addr)];

    if (strcmp(address, "*") == 0)
        return has_family(AF_INET) || has_family(AF_INET6) ? NULL : "IPv4 and IPv6";
    if (inet_pton(AF_INET, address, octets) == 1)
        return has_family(AF_INET) ? NULL : "IPv4";
    return inet_pton(AF_INET6, address, octets) == 1 && !has_family(AF_INET6) ? "IPv6" : NULL;
}

/* --- the worker's half --- */

struct door {
    struct listener *listener;
    size_t index;
    struct watch *watch;
};

struct listener {
    struct loop *loop;
    struct door *doors;
    size_t count;
    listener_accept *accepted;
    void *arg;
    bool paused;            /* by its owner */
    bool resting;           /* out of descriptors */
    struct timer *rest;
    uint64_t complained;    /* when the log was told last; 0: never */
};

static void watch_doors(struct listener *listener)
{
    for (size_t i = 0; i < listener->count; i++)
        watch_set(listener->doors[i].watch, listener->paused || listener->resting ? 0 : LOOP_READ);
}

static void rested(void *arg)
{
    struct listener *listener = arg;
    listener->resting = false;
    watch_doors(listener);
}

/* Out of descriptors or memory the socket stays ready: to try again at once would be to try for ever. */
static void take_rest(struct listener *listener, int why)
{
    uint64_t now = loop_now(listener->loop);
    if (listener->complained == 0 || now - listener->complained >= COMPLAIN_MS) {
        listener->complained = now;
        log_error(NULL, "could not accept a connection: %s; not logged again for a minute", strerror(why));
    }
    listener->resting = true;
    watch_doors(listener);
    timer_set(listener->rest, REST_MS);
}

/*
 * One client a turn: it is the fairest among workers that wake together, and
 * a second accept() would mostly be told that there is none.
 */
static void on_client(void *arg, int listening, unsigned events)
{
    struct door *door = arg;
    struct listener *listener = door->listener;
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    (void)events;

    if (fd >= 0) {
        listener->accepted(listener->arg, door->index, fd);     /* may free us */
        return;
    }
    switch (errno) {
    case EAGAIN:            /* another worker was faster */
    case EINTR:
    case ECONNABORTED:
    /* accept(2): errors of the network that are already known for the new socket. */
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case ENONET:
    case EPERM:             /* a firewall rule */
        return;
    default:
        take_rest(listener, errno);
    }
}

struct listener *listener_new(struct loop *loop, const int *fds, size_t count, listener_accept *accepted, void *arg)
{
    struct listener *listener = mem_zalloc(sizeof *listener);
    listener->loop = loop;
    listener->doors = mem_array(count, sizeof *listener->doors);
    listener->count = count;
    listener->accepted = accepted;
    listener->arg = arg;
    listener->rest = timer_new(loop, rested, listener);
    for (size_t i = 0; i < count; i++) {
        struct door *door = &listener->doors[i];
        /* An adopted one may wait; and another worker may be faster between the event and our accept(). */
        int flags = fcntl(fds[i], F_GETFL);
        if (flags >= 0 && !(flags & O_NONBLOCK))
            fcntl(fds[i], F_SETFL, flags | O_NONBLOCK);
        door->listener = listener;
        door->index = i;
        door->watch = watch_new(loop, fds[i], on_client, door);
    }
    watch_doors(listener);
    return listener;
}

void listener_free(struct listener **listener_p)
{
    struct listener *listener = *listener_p;
    if (listener == NULL)
        return;
    *listener_p = NULL;
    for (size_t i = 0; i < listener->count; i++)
        watch_free(&listener->doors[i].watch);
    timer_free(&listener->rest);
    mem_free(listener->doors);
    mem_free(listener);
}

void listener_pause(struct listener *listener)
{
    listener->paused = true;
    watch_doors(listener);
}

void listener_resume(struct listener *listener)
{
    listener->paused = false;
    watch_doors(listener);
}
