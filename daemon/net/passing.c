/*
 * passing.c - the message and its descriptor; the worker's end.
 *
 * What comes is a stranger's: a descriptor may be anything, also one that makes
 * who reads, or closes, it wait. So there is to be a socket and nothing else:
 * calls on that never wait, whatever its mode, which its other holders can change.
 */
#include "daemon/net/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than one, so that what came too much is seen, and closed. */
enum { DESCRIPTORS_MAX = 8 };

union control {
    struct cmsghdr align;
    char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
};

bool passing_is_whole(const struct passing *m, long size)
{
    return size == (long)sizeof *m && memcmp(m->magic, PASSING_MAGIC, sizeof m->magic) == 0 &&
           (m->flags & ~(uint32_t)PASSING_FLAGS) == 0 &&
           memchr(m->protocol, '\0', sizeof m->protocol) != NULL && m->protocol[0] != '\0';
}

static int option_of(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static const char *wrong_descriptor(int fd)
{
    struct stat st;
    int domain;

    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
        return "the descriptor is not a socket";
    domain = option_of(fd, SO_DOMAIN);
    if (option_of(fd, SO_TYPE) != SOCK_STREAM || (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX))
        return "the socket is not one that clients connect to";
    if (option_of(fd, SO_ACCEPTCONN) != 0)
        return "the socket is a listening one";
    return NULL;
}

/* close() must not wait either, for as long as the client takes no more. */
static void do_not_linger(int fd)
{
    const struct linger off = { 0, 0 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

/* Of all control messages: how many descriptors there are, the first ones in fds. */
static size_t take_descriptors(struct msghdr *msg, int fds[DESCRIPTORS_MAX])
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || n > DESCRIPTORS_MAX - count)
            continue;
        memcpy(fds + count, CMSG_DATA(c), n * sizeof(int));
        count += n;
    }
    return count;
}

int passing_receive(int fd, struct passing *message_r, int *client_r, const char **wrong_r)
{
    char more;                  /* octets behind it make it another message */
    struct iovec iov[] = { { message_r, sizeof *message_r }, { &more, 1 } };
    union control control = { .space = { 0 } };
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fds[DESCRIPTORS_MAX];

    *client_r = -1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        *wrong_r = "it ended before a message";
        return -1;
    }
    size_t count = take_descriptors(&msg, fds);
    if (!passing_is_whole(message_r, n))
        *wrong_r = "the message is not one that this version knows";
    else if (msg.msg_flags & MSG_CTRUNC)
        *wrong_r = "too many descriptors, or no room for them";
    else if (count != 1)
        *wrong_r = count == 0 ? "no descriptor" : "too many descriptors";
    else
        *wrong_r = wrong_descriptor(fds[0]);
    for (size_t i = 0; i < count; i++) {
        do_not_linger(fds[i]);
        if (*wrong_r != NULL)
            close(fds[i]);
    }
    if (*wrong_r != NULL)
        return -1;
    *client_r = fds[0];
    return 1;
}

bool passing_answer(int fd, char answer)
{
    return send(fd, &answer, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}
