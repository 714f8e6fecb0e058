/*
 * Requests to the process for metrics, in pieces of any size: libevent's HTTP
 * as we set it up.
 *
 * What must hold: what it says is a reply of HTTP, and numbers are told to
 * nobody who did not ask for /metrics.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/fuzz/fuzz.h"

#include "daemon/control/metrics_http.c"

static struct event_base *base;
static struct evhttp *http;
static struct sockaddr_un place = { .sun_family = AF_UNIX };
static socklen_t place_len = sizeof place;

/* For the process around it, which is not here. */
void process_become(const struct process_role *role) { (void)role; }
void config_forget_auth(struct config *config) { (void)config; }
void config_forget_sessions(struct config *config, unsigned needs) { (void)config, (void)needs; }
void sandbox_enter(enum sandbox_role role, const struct config *config) { (void)role, (void)config; }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)argc, (void)argv;
    MUST(metrics_share());
    event_set_log_callback(forget_libevent_text);
    base = event_base_new();
    http = http_new(base);
    /* A name that the kernel chooses, and no file. */
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&place, sizeof place.sun_family) == 0 && listen(fd, 16) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&place, &place_len) == 0);
    MUST(http != NULL && evhttp_accept_socket_with_handle(http, fd) != NULL);
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static size_t hear(int fd, char *said, size_t len, size_t size)
{
    ssize_t n = recv(fd, said + len, size - len, MSG_DONTWAIT);

    return n > 0 ? len + (size_t)n : len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char said[1 << 18];
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);
    const struct span all = in;
    size_t heard = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&place, place_len) == 0);
    while (in.len > 0) {
        struct span piece = cut(&c, &in);

        if (send(fd, piece.at, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        turn();
        heard = hear(fd, said, heard, sizeof said);
    }
    shutdown(fd, SHUT_WR);
    turn();
    heard = hear(fd, said, heard, sizeof said);
    MUST(heard == 0 || (heard > 9 && memcmp(said, "HTTP/", 5) == 0));
    MUST(memmem(said, heard, "postern_", 8) == NULL || memmem(all.at, all.len, "/metrics", 8) != NULL);
    close(fd);
    turn();
    return 0;
}
