/*
 * What a master is told: commands of operators, in pieces of any size and from
 * several connections; the note of the master before it; and what a worker is
 * told by its master.
 *
 * What must hold: every command gets one answer that begins with OK or ERR,
 * no connection is kept, a descriptor that came is handed on or closed.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/fuzz/fuzz.h"

#define take_number note_number
#include "daemon/process/handover.c"
#undef take_number
#include "daemon/control/commands.c"
#include "daemon/control/operator.c"
#include "daemon/control/orders.c"

enum { CALLERS = OPERATOR_CLIENTS + 2 };

static bool stopping;
static int socket_fd;
static struct sockaddr_un place = { .sun_family = AF_UNIX };
static socklen_t place_len = sizeof place;
static struct sockets *known;
static unsigned told;

/* ------------------------------------------- the master's part, struct command_calls */

static bool is_stopping(void *arg)
{
    MUST(arg == &stopping);
    return stopping;
}

static bool reload(void *arg, struct span *told_r, unsigned *cells_r)
{
    MUST(arg == &stopping);
    *told_r = SPAN_OF("postern.conf:1: no\n");
    *cells_r = 2;
    return told++ % 2 == 0;
}

static uint64_t drain_time(void *arg)
{
    MUST(arg == &stopping);
    return 30000;
}

static void drain(void *arg, uint64_t ms)
{
    MUST(arg == &stopping && ms <= CONTROL_SECONDS_MAX * 1000ull);
    stopping = true;
}

static void upgrade(void *arg, int operator)
{
    MUST(arg == &stopping && !stopping);
    operator_sayf(operator, "OK in a test");
}

static unsigned post(void *arg, const struct order *order, int passed)
{
    (void)passed;
    MUST(arg == &stopping && strlen(order->subject) < sizeof order->subject);
    return 1;
}

static const struct command_calls calls = {
    .stopping = is_stopping, .reload = reload, .drain_time = drain_time, .drain = drain, .upgrade = upgrade, .post = post,
};

/* ------------------------------------------------- what daemon/process/sockets.h declares */

struct sockets *sockets_none(void)
{
    static struct sockets some;

    known = &some;
    return &some;
}

void sockets_know(struct sockets *sockets, const char *address, int64_t port, int fd)
{
    MUST(sockets == known && strlen(address) <= NOTE_MAX && port >= 0 && port <= 65535 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
}

void sockets_each(const struct sockets *sockets, void (*each)(void *arg, const char *address, int64_t port, int fd), void *arg)
{
    (void)sockets, (void)each, (void)arg;
}

/* ------------------------------------------------------------------ operators */

static void serve(struct operator_socket *o, uint64_t now)
{
    struct pollfd fds[OPERATOR_FDS];
    size_t count = operator_poll(o, fds);

    MUST(count <= OPERATOR_FDS);
    poll(fds, (nfds_t)count, 0);
    operator_serve(o, fds, count, now);
}

static void hear(int fd)
{
    static char answer[1 << 16];
    ssize_t n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);

    MUST(n <= 0 || (n > 3 && (memcmp(answer, "OK", 2) == 0 || memcmp(answer, "ERR", 3) == 0) && memchr(answer, '\n', (size_t)n) != NULL));
}

static void operators(struct span in)
{
    struct operator_socket *o = operator_new(commands_run, &(struct commands){ &calls, &stopping });
    struct cuts c = take_cuts(&in);
    int callers[CALLERS];
    size_t count = take_octet(&in) % CALLERS + 1u;

    stopping = false;
    operator_adopt(o, "", dup(socket_fd));
    for (size_t i = 0; i < count; i++) {
        callers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(callers[i] >= 0 && connect(callers[i], (struct sockaddr *)&place, place_len) == 0);
        serve(o, 0);
    }
    for (size_t i = 0; in.len > 0; i++) {
        struct span piece = cut(&c, &in);
        (void)!send(callers[i / 2 % count], piece.at, piece.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        serve(o, 0);
    }
    /* Who has nothing more to say is not waited for for ever; those that found no room come in then. */
    for (uint64_t i = 1; i <= CALLERS; i++)
        serve(o, i * PATIENCE_MS);
    MUST(operator_deadline(o) == UINT64_MAX);
    for (size_t i = 0; i < count; i++) {
        hear(callers[i]);
        close(callers[i]);
    }
    operator_free(&o);
}

/* --------------------------------------------------------------- notes, orders */

static void note(struct span in)
{
    struct handover h;
    char number[16];
    int fd = memfd_create("note", MFD_CLOEXEC), answer;

    MUST(fd >= 0 && write(fd, in.at, in.len) == (ssize_t)in.len);
    snprintf(number, sizeof number, "%d", fd);
    setenv(VARIABLE, number, 1);
    answer = handover_take(&h);
    MUST(answer == 1 || answer == -1);
    MUST(answer != 1 || h.errors >= 0);
    MUST(h.adopted_count <= HANDOVER_ADOPTED_MAX && (h.control < 0) == (h.control_path == NULL));
    mem_free(h.control_path);
    mem_free(h.adopted_names);
}

static void orders(struct span in)
{
    struct order order;
    int ends[2], passed, answer;

    MUST(orders_pair(ends) == 0);
    while (in.len > 0) {
        struct span piece = take_text(&in);
        union control space = { .space = { 0 } };
        struct iovec iov = { (void *)(uintptr_t)piece.at, piece.len };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (piece.len == 0)
            continue;
        if (piece.at[0] & 1) {
            msg.msg_control = space.space;
            msg.msg_controllen = sizeof space.space;
            struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
            *head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
            memcpy(CMSG_DATA(head), &socket_fd, sizeof socket_fd);
        }
        if (sendmsg(ends[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
        answer = orders_receive(ends[1], &order, &passed);
        MUST(answer == 1 || answer == 0);
        MUST(answer == 0 || piece.len == sizeof order);
        if (answer == 1) {
            MUST(strlen(order.subject) < sizeof order.subject);
            if (order.what == ORDER_TRACE && traced_is_subject(order.subject))
                (void)traced_set(order.subject, order.until % 16, 8);
            if (passed >= 0)
                close(passed);
        }
    }
    close(ends[0]);
    close(ends[1]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    MUST(log_open("/dev/null", LOG_LEVEL_ERROR, "fuzz", &(const char *){ NULL }));
    signal(SIGPIPE, SIG_IGN);
    MUST(metrics_share());
    /* A name that the kernel chooses, and no file. */
    socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    MUST(socket_fd >= 0 && bind(socket_fd, (struct sockaddr *)&place, sizeof place.sun_family) == 0 && listen(socket_fd, CALLERS) == 0);
    MUST(getsockname(socket_fd, (struct sockaddr *)&place, &place_len) == 0);
    return 0;
}

static int descriptors(void)
{
    int first = dup(socket_fd);

    close(first);
    return first;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    uint8_t what = take_octet(&in);
    int before = descriptors();

    if (what % 4 < 2)
        operators(in);
    else if (what % 4 == 2)
        note(in);
    else
        orders(in);
    MUST(descriptors() == before);
    return 0;
}
