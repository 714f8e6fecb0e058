/*
 * orders.c - orders on their way: one datagram each, with at most one descriptor.
 */
#include "daemon/control/orders.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
};

int orders_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
}

bool orders_send(int fd, const struct order *order, int passed)
{
    struct order copy = *order;
    struct iovec iov = { &copy, sizeof copy };
    union control control = { .space = { 0 } };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (passed >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof control.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof passed);
        memcpy(CMSG_DATA(c), &passed, sizeof passed);
    }
    return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof copy;
}

int orders_receive(int fd, struct order *order_r, int *passed_r)
{
    struct iovec iov = { order_r, sizeof *order_r };
    union control control = { .space = { 0 } };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *passed_r = -1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof *passed_r))
        memcpy(passed_r, CMSG_DATA(c), sizeof *passed_r);
    order_r->subject[sizeof order_r->subject - 1] = '\0';
    if (n == (ssize_t)sizeof *order_r)
        return 1;
    if (*passed_r >= 0)
        close(*passed_r);
    return 0;
}
