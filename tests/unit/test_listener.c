/* Binding and accepting: both families, unix sockets, pause, many workers, out of descriptors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/mem.h"
#include "daemon/base/span.h"
#include "daemon/net/fd.h"
#include "daemon/net/listener.h"
#include "daemon/net/loop.h"

static struct loop *loop;
static struct listener *listener;
static int taken, last_index;
static bool pause_at_accept, free_at_accept;

static int setup(void **state)
{
    (void)state;
    taken = 0;
    last_index = -1;
    pause_at_accept = free_at_accept = false;
    loop = loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    listener_free(&listener);
    loop_free(&loop);
    return 0;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turns(int n)
{
    while (n-- > 0) {
        loop_defer(loop, stop, loop);
        loop_run(loop);
    }
}

static void accepted(void *arg, size_t index, int fd)
{
    assert_ptr_equal(arg, &taken);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    taken++;
    last_index = (int)index;
    close(fd);
    if (pause_at_accept)
        listener_pause(listener);
    if (free_at_accept)
        listener_free(&listener);
}

/* A port that is free now in both families, and its sockets. */
static uint16_t bind_free(const char *address, int fds[LISTENER_MAX_FDS], int *count_r)
{
    static uint16_t port = 0;
    char *error = NULL;
    if (port == 0)
        port = (uint16_t)(20000 + getpid() % 10000);
    for (int i = 0; i < 100; i++) {
        port++;
        *count_r = listener_bind(address, port, 16, fds, &error);
        if (*count_r > 0)
            return port;
        mem_drop(&error);
    }
    fail();
    return 0;
}

static int client(int family, uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = family == AF_INET ? connect(fd, (struct sockaddr *)(void *)&in, sizeof in)
                                   : connect(fd, (struct sockaddr *)(void *)&in6, sizeof in6);
    if (result == 0)
        return fd;
    close(fd);
    return -1;
}

static bool have_ipv6(void)
{
    int fds[LISTENER_MAX_FDS];
    char *error = NULL;
    int n = listener_bind("::1", (uint16_t)(30000 + getpid() % 1000), 1, fds, &error);
    if (n == 1)
        close(fds[0]);
    else
        mem_drop(&error);
    return n == 1;
}

static void star_is_both(void **state)
{
    (void)state;
    int fds[LISTENER_MAX_FDS], count;
    uint16_t port = bind_free("*", fds, &count);
    assert_int_equal(count, have_ipv6() ? 2 : 1);
    assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    listener = listener_new(loop, fds, (size_t)count, accepted, &taken);
    int c = client(AF_INET, port);
    assert_true(c >= 0);
    turns(2);
    assert_int_equal(taken, 1);
    assert_int_equal(last_index, 0);
    close(c);
    if (count == 2) {
        c = client(AF_INET6, port);
        assert_true(c >= 0);
        turns(2);
        assert_int_equal(taken, 2);
        assert_int_equal(last_index, 1);
        close(c);
    }
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

/* "::" leaves IPv4 to a listener of its own. */
static void v6_only(void **state)
{
    (void)state;
    int v6[LISTENER_MAX_FDS], v4[LISTENER_MAX_FDS], count;
    char *error = NULL;
    if (!have_ipv6())
        skip();
    uint16_t port = bind_free("::", v6, &count);
    assert_int_equal(count, 1);
    assert_int_equal(client(AF_INET, port), -1);
    assert_int_equal(listener_bind("0.0.0.0", port, 16, v4, &error), 1);
    close(v4[0]);
    close(v6[0]);
}

/* As a kernel without it, or systemd's RestrictAddressFamilies. */
static void take_family(int family)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    const struct scmp_arg_cmp is = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0);

    if (f == NULL || seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &is) != 0 || seccomp_load(f) != 0)
        _exit(77);
    seccomp_release(f);
}

/* In a child, as a filter stays for ever: what it saw in its exit status. */
static int without(int first, int second)
{
    int fds[LISTENER_MAX_FDS], seen = 0;
    char *error = NULL;
    uint16_t port = (uint16_t)(31000 + getpid() % 1000);

    take_family(first);
    if (second != 0)
        take_family(second);
    int n = listener_bind("*", port, 16, fds, &error);
    if (second != 0)
        return n == -1 && strstr(error, "not supported") != NULL && listener_needs("*") != NULL ? 0 : 1;
    if (n != 1 || error != NULL)
        return 2;
    const char *lacks = first == AF_INET ? "IPv4" : "IPv6";
    seen = strcmp(listener_lacks(fds, 1), lacks) == 0 && listener_needs("*") == NULL ? 0 : 3;
    /* Once more, as at a reload: the one that is there stays. */
    if (listener_bind_rest(port, 16, fds, 1, &error) != 1 || error != NULL)
        return 4;
    /* By name it is an error, and known before. */
    const char *missing = first == AF_INET ? "127.0.0.1" : "::1", *there = first == AF_INET ? "::1" : "127.0.0.1";
    if (listener_bind(missing, 1, 16, fds, &error) != -1 || error == NULL || listener_needs(there) != NULL)
        return 5;
    mem_drop(&error);
    return strcmp(listener_needs(missing), lacks) == 0 ? seen : 6;
}

static void a_family_is_missing(void **state)
{
    static const int taken_away[][2] = { { AF_INET6, 0 }, { AF_INET, 0 }, { AF_INET, AF_INET6 } };
    (void)state;

    for (size_t i = 0; i < sizeof taken_away / sizeof taken_away[0]; i++) {
        int status;
        if (taken_away[i][0] == AF_INET && taken_away[i][1] == 0 && !have_ipv6())
            continue;
        pid_t pid = fork();
        if (pid == 0)
            _exit(without(taken_away[i][0], taken_away[i][1]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* "*" that had one family only gets the other one when it is there. */
static void a_family_comes_back(void **state)
{
    int fds[LISTENER_MAX_FDS], both[LISTENER_MAX_FDS], n;
    char *error = NULL;
    (void)state;

    if (!have_ipv6())
        skip();
    uint16_t port = bind_free("*", both, &n);
    close(both[0]);
    close(both[1]);
    assert_int_equal(listener_bind("::", port, 16, fds, &error), 1);
    assert_string_equal(listener_lacks(fds, 1), "IPv4");
    assert_int_equal(listener_bind_rest(port, 16, fds, 1, &error), 2);
    assert_null(listener_lacks(fds, 2));
    assert_null(error);
    close(fds[0]);
    close(fds[1]);
}

static void refusals(void **state)
{
    (void)state;
    int fds[LISTENER_MAX_FDS], again[LISTENER_MAX_FDS], count;
    char *error = NULL, expected[200];
    uint16_t port = bind_free("127.0.0.1", fds, &count);
    assert_int_equal(listener_bind("127.0.0.1", port, 16, again, &error), -1);
    snprintf(expected, sizeof expected, "could not listen at 127.0.0.1 port %u: Address already in use", port);
    assert_string_equal(error, expected);
    mem_drop(&error);
    assert_int_equal(listener_bind("*", port, 16, again, &error), -1);
    snprintf(expected, sizeof expected, "could not listen at * port %u: Address already in use", port);
    assert_string_equal(error, expected);
    mem_drop(&error);
    assert_int_equal(listener_bind("localhost", port, 16, again, &error), -1);
    assert_string_equal(error, "could not listen at localhost: not an address");
    mem_drop(&error);
    assert_int_equal(listener_bind("192.0.2.1", port, 16, again, &error), -1);     /* not ours */
    mem_drop(&error);
    close(fds[0]);
}

static void unix_socket(void **state)
{
    (void)state;
    char directory[] = "/tmp/test-listener-XXXXXX";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fds[LISTENER_MAX_FDS], again[LISTENER_MAX_FDS];
    char *error = NULL;
    struct stat st;
    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/pop3", directory);

    assert_int_equal(listener_bind(address.sun_path, 0, 16, fds, &error), 1);
    assert_int_equal(stat(address.sun_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    assert_int_equal(listener_bind(address.sun_path, 0, 16, again, &error), -1);    /* somebody listens there */
    assert_non_null(strstr(error, "Address already in use"));
    mem_drop(&error);

    listener = listener_new(loop, fds, 1, accepted, &taken);
    int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(c, (struct sockaddr *)(void *)&address, sizeof address), 0);
    turns(2);
    assert_int_equal(taken, 1);
    close(c);
    close(fds[0]);

    /* What a dead process left is removed, what is no socket is not. */
    assert_int_equal(listener_bind(address.sun_path, 0, 16, again, &error), 1);
    close(again[0]);
    unlink(address.sun_path);
    close(open(address.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(listener_bind(address.sun_path, 0, 16, again, &error), -1);
    assert_non_null(strstr(error, "File exists"));
    mem_drop(&error);
    assert_int_equal(stat(address.sun_path, &st), 0);
    unlink(address.sun_path);
    rmdir(directory);
}

/* What vanished without a word is noticed: set once, inherited by each client. */
static void clients_are_probed(void **state)
{
    (void)state;
    char path[] = "/tmp/test-listener-unix-XXXXXX";
    int fds[LISTENER_MAX_FDS], value = 0;
    struct sockaddr_in address = { 0 };
    socklen_t len = sizeof address, size = sizeof value;
    char *error = NULL;
    static const struct { int level, option, wanted; } rows[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 }, { IPPROTO_TCP, TCP_KEEPIDLE, 120 }, { IPPROTO_TCP, TCP_KEEPINTVL, 20 },
        { IPPROTO_TCP, TCP_KEEPCNT, 3 }, { IPPROTO_TCP, TCP_USER_TIMEOUT, 300000 },
        { IPPROTO_TCP, TCP_NODELAY, 1 }, { IPPROTO_TCP, TCP_NOTSENT_LOWAT, 65536 },
    };

    assert_int_equal(listener_bind("127.0.0.1", 0, 16, fds, &error), 1);
    fd_notice_loss(fds[0], 120000, 300000);
    assert_true(fd_prompt(fds[0]));
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)(void *)&address, &len), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)(void *)&address, sizeof address), 0);
    struct pollfd ready = { .fd = fds[0], .events = POLLIN };
    assert_int_equal(poll(&ready, 1, 5000), 1);
    int server = accept4(fds[0], NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(getsockopt(server, rows[i].level, rows[i].option, &value, &size), 0);
        assert_int_equal(value, rows[i].wanted);
    }
    close(server);
    close(client);

    /* One of a socket of which nobody asked it, as under inetd, gets it by itself. */
    close(fds[0]);
    assert_int_equal(listener_bind("127.0.0.1", 0, 16, fds, &error), 1);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)(void *)&address, &len), 0);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)(void *)&address, sizeof address), 0);
    for (size_t i = 5; i < sizeof rows / sizeof rows[0]; i++) {
        struct fd own = fd_take(client);

        assert_int_equal(own.kind, FD_SOCKET);
        assert_int_equal(getsockopt(client, rows[i].level, rows[i].option, &value, &size), 0);
        assert_int_equal(value, rows[i].wanted);
    }
    close(client);
    close(fds[0]);

    /* Not meant, and no TCP. */
    assert_int_equal(listener_bind("127.0.0.1", 0, 16, fds, &error), 1);
    fd_notice_loss(fds[0], 0, 0);
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_KEEPALIVE, &value, &size), 0);
    assert_int_equal(value, 0);
    close(fds[0]);
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(listener_bind(path, 0, 16, fds, &error), 1);
    fd_notice_loss(fds[0], 120000, 300000);
    assert_true(fd_prompt(fds[0]));
    close(fds[0]);
    unlink(path);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_false(fd_prompt(file));
    close(file);
}

static void path_too_long(void **state)
{
    (void)state;
    char path[200];
    int fds[LISTENER_MAX_FDS];
    char *error = NULL;
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(listener_bind(path, 0, 16, fds, &error), -1);
    assert_non_null(strstr(error, "too long"));
    mem_drop(&error);
}

static void paused(void **state)
{
    (void)state;
    int fds[LISTENER_MAX_FDS], count, clients[5];
    uint16_t port = bind_free("127.0.0.1", fds, &count);
    listener = listener_new(loop, fds, 1, accepted, &taken);
    pause_at_accept = true;
    for (int i = 0; i < 5; i++)
        clients[i] = client(AF_INET, port);
    turns(10);
    assert_int_equal(taken, 1);             /* the others wait in the backlog */
    listener_resume(listener);
    turns(10);
    assert_int_equal(taken, 2);
    pause_at_accept = false;
    listener_resume(listener);
    turns(10);
    assert_int_equal(taken, 5);
    for (int i = 0; i < 5; i++)
        close(clients[i]);
    close(fds[0]);
}

static void freed_in_callback(void **state)
{
    (void)state;
    int fds[LISTENER_MAX_FDS], count;
    uint16_t port = bind_free("127.0.0.1", fds, &count);
    listener = listener_new(loop, fds, 1, accepted, &taken);
    free_at_accept = true;
    int a = client(AF_INET, port), b = client(AF_INET, port);
    turns(5);
    assert_int_equal(taken, 1);
    assert_null(listener);
    close(a);
    close(b);
    close(fds[0]);
}

/* Out of descriptors: no busy loop, and the client is served once there are some again. */
static void out_of_descriptors(void **state)
{
    (void)state;
    int fds[LISTENER_MAX_FDS], count;
    struct rlimit old, none;
    uint16_t port = bind_free("127.0.0.1", fds, &count);
    listener = listener_new(loop, fds, 1, accepted, &taken);
    int c = client(AF_INET, port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turns(3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(taken, 0);
    turns(3);
    assert_int_equal(taken, 0);             /* rests, though it is ready and could be taken */
    for (int i = 0; i < 1000 && taken == 0; i++) {
        usleep(10000);
        turns(1);
    }
    assert_int_equal(taken, 1);
    close(c);
    close(fds[0]);
}

static void worker_accepted(void *arg, size_t index, int fd)
{
    (void)arg;
    (void)index;
    if (write(fd, "x", 1) != 1)
        _exit(1);
    close(fd);
}

/* Several processes accept from one descriptor: each client is served once, those of one that died too. */
static void many_workers(void **state)
{
    (void)state;
    enum { WORKERS = 4, CLIENTS = 40 };
    int fds[LISTENER_MAX_FDS], count;
    pid_t pids[WORKERS];
    uint16_t port = bind_free("127.0.0.1", fds, &count);
    for (int i = 0; i < WORKERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            loop = loop_new();      /* the parent's is left alone: both have its epoll descriptor */
            listener = listener_new(loop, fds, 1, worker_accepted, NULL);
            loop_run(loop);
            _exit(0);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        char octet[2];
        if (i == CLIENTS / 2) {
            kill(pids[0], SIGKILL);
            waitpid(pids[0], NULL, 0);
        }
        int c = client(AF_INET, port);
        assert_int_equal(recv(c, octet, 2, MSG_WAITALL), 1);
        close(c);
    }
    for (int i = 1; i < WORKERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(star_is_both, setup, teardown),
        cmocka_unit_test_setup_teardown(v6_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_family_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_family_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(path_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(clients_are_probed, setup, teardown),
        cmocka_unit_test_setup_teardown(paused, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_in_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(many_workers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
