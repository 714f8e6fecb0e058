/*
 * fd.c - the differences between kinds of descriptors. Must never change the
 * mode of a socket: inetd's clients share it with others, so each call says
 * itself that it will not wait.
 */
#include "daemon/net/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/mem.h"
#include "daemon/base/network.h"

/*
 * Octets that the kernel takes beyond what the client's window has room for.
 * Without it a client that does not read costs up to tcp_wmem, 4 MiB, of an
 * amount that all sockets of the host share, and takes it from the others.
 */
enum { UNSENT = 65536 };

bool fd_prompt(int fd)
{
    const int on = 1, unsent = UNSENT;
    int before = 0;
    socklen_t len = sizeof before;

    /* Accepted from a socket of which this was asked: it has both. Also tells whether it is a socket at all. */
    if (getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &before, &len) < 0)
        return errno != ENOTSOCK;
    if (before == UNSENT)
        return true;
    /* A reply is one write and must not wait for the client's ACK. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    return true;
}

struct fd fd_take(int fd)
{
    struct fd taken = { .fd = fd, .kind = FD_SOCKET };
    struct stat st;

    if (fd_prompt(fd))
        return taken;
    bool waits = fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd)));
    if (!waits) {
        taken.kind = FD_FILE;
        return taken;
    }
    taken.kind = FD_STREAM;
    int flags = fcntl(fd, F_GETFL);
    /* With standard input and output on one terminal the second finds it set, and leaves it to the first. */
    if (flags >= 0 && !(flags & O_NONBLOCK))
        taken.put_back = fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
    return taken;
}

void fd_close(struct fd *fd)
{
    if (fd->fd < 0)
        return;
    if (fd->put_back) {
        int flags = fcntl(fd->fd, F_GETFL);
        if (flags >= 0)
            fcntl(fd->fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    close(fd->fd);
    fd->fd = -1;
}

void fd_notice_loss(int fd, uint64_t idle_ms, uint64_t unacked_ms)
{
    enum { PROBES = 3 };
    const int on = 1, probes = PROBES;
    const unsigned unacked = unacked_ms < INT32_MAX ? (unsigned)unacked_ms : INT32_MAX;
    int idle = (int)((idle_ms + 999) / 1000), pause = idle / (2 * PROBES) > 0 ? idle / (2 * PROBES) : 1;

    /* Refused where it is no TCP; and a kernel that does not know one of these serves clients all the same. */
    if (unacked_ms > 0 && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof unacked) < 0)
        return;
    if (idle_ms == 0 || setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof pause);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

uint64_t fd_untaken(const struct fd *fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    if (fd->kind != FD_SOCKET || getsockopt(fd->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return UINT64_MAX;
    /*
     * The older of two: to one who vanished data is sent again and again and
     * nothing is acknowledged, and one who is there but does not read
     * acknowledges probes while no data goes.
     */
    return info.tcpi_last_data_sent > info.tcpi_last_ack_recv ? info.tcpi_last_data_sent : info.tcpi_last_ack_recv;
}

bool fd_vanished(const struct fd *fd)
{
    enum { AGAIN = 2 };     /* once is what a network loses now and then, or what is on its way */
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    if (fd->kind != FD_SOCKET || getsockopt(fd->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return false;
    /* An acknowledgement, of a probe too, sets both to 0. */
    return info.tcpi_state == TCP_CLOSE || info.tcpi_probes >= AGAIN || info.tcpi_retransmits >= AGAIN;
}

static int get_option(const struct fd *fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;

    return getsockopt(fd->fd, level, name, &value, &len) == 0 ? value : 0;
}

void fd_probe(const struct fd *fd)
{
    enum { PAUSE = 3, PROBES_MAX = 127 };   /* seconds: more than the slowest network takes to answer */
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    if (fd->kind != FD_SOCKET || get_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0 ||
        getsockopt(fd->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_probes > 0)
        return;
    int pause = get_option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
        probes = get_option(fd, IPPROTO_TCP, TCP_KEEPCNT) * pause / PAUSE;
    uint32_t heard =
        info.tcpi_last_data_recv < info.tcpi_last_ack_recv ? info.tcpi_last_data_recv : info.tcpi_last_ack_recv;
    int idle = heard / 1000 < INT32_MAX ? (int)(heard / 1000) : INT32_MAX;

    /* The kernel gives it up no sooner than before: more probes where they come closer together. */
    if (pause > PAUSE) {
        const int closer = PAUSE, more = probes < PROBES_MAX ? probes : PROBES_MAX;

        (void)setsockopt(fd->fd, IPPROTO_TCP, TCP_KEEPCNT, &more, sizeof more);
        (void)setsockopt(fd->fd, IPPROTO_TCP, TCP_KEEPINTVL, &closer, sizeof closer);
    }
    /* Due when so much has passed since the client was heard: what has passed already is now. */
    if (idle > 0 && idle < get_option(fd, IPPROTO_TCP, TCP_KEEPIDLE))
        (void)setsockopt(fd->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

ssize_t fd_read(const struct fd *fd, void *data, size_t size)
{
    ssize_t n;
    do
        n = fd->kind == FD_SOCKET ? recv(fd->fd, data, size, MSG_DONTWAIT) : read(fd->fd, data, size);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t fd_write(const struct fd *fd, struct iovec *iov, size_t count)
{
    const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (fd->ends ? MSG_MORE : 0);
    ssize_t n;
    do
        n = fd->kind == FD_SOCKET ? sendmsg(fd->fd, &msg, flags)
                                  : writev(fd->fd, iov, (int)count);
    while (n < 0 && errno == EINTR);
    return n;
}

static char *address_name(const struct sockaddr_storage *from)
{
    struct network_address address;
    char name[NETWORK_PEER_SIZE];
    unsigned port;

    if (!network_of_sockaddr(from, &address, &port))
        return mem_str(from->ss_family == AF_UNIX ? "unix" : "unknown");
    network_peer(&address, port, name);
    return mem_str(name);
}

static bool is_local(const struct sockaddr_storage *from)
{
    struct network_address address;
    unsigned port;

    return network_of_sockaddr(from, &address, &port) ? network_is_loopback(&address) : from->ss_family == AF_UNIX;
}

static const char gone[] = "unknown";

bool fd_peer_has_gone(const char *name)
{
    return strcmp(name, gone) == 0;
}

char *fd_peer_name(const struct fd *fd, bool *local_r)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof address;

    *local_r = fd->kind != FD_SOCKET;
    if (fd->kind != FD_SOCKET)
        return mem_str("stdin");
    if (getpeername(fd->fd, (struct sockaddr *)(void *)&address, &len) < 0)
        return mem_str(gone);
    *local_r = is_local(&address);
    return address_name(&address);
}

char *fd_local_name(const struct fd *fd)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof address;

    if (fd->kind != FD_SOCKET)
        return mem_str("stdout");
    if (getsockname(fd->fd, (struct sockaddr *)(void *)&address, &len) < 0)
        return mem_str("unknown");
    return address_name(&address);
}
