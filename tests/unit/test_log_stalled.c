/* Nobody reads the log: no line waits for them, what is dropped is counted and told; a log daemon that comes, goes and comes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/base/log.h"
#include "daemon/base/metrics.h"

enum { LINES = 5000 };

static char directory[] = "/tmp/test-log-XXXXXX", path[64], target[80];
static int kept_stderr;

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/log", directory);
    snprintf(target, sizeof target, "syslog:%s", path);
    kept_stderr = dup(STDERR_FILENO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

/* Where lines go between tests. */
static int calm(void **state)
{
    (void)state;
    dup2(kept_stderr, STDERR_FILENO);
    log_open("/dev/null", LOG_LEVEL_INFO, "test", &(const char *){ NULL });
    unlink(path);
    return 0;
}

static int log_daemon(int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void open_log(const char *where)
{
    const char *error = NULL;

    assert_true(log_open(where, LOG_LEVEL_INFO, "posternd worker 2", &error));
}

static void matches(const char *text, const char *pattern)
{
    regex_t re;

    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0)
        fail_msg("the line is: %s", text);
    regfree(&re);
}

#define HEAD "^<2[0-9]>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} posternd worker 2\\[[0-9]+\\]: "

static const char *datagram(int fd)
{
    static char text[4096];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);

    if (n < 0)
        return NULL;
    text[n] = '\0';
    return text;
}

static void as_syslog_wants_it(void **state)
{
    int fd = log_daemon(SOCK_DGRAM);
    (void)state;

    open_log(target);
    assert_null(log_unreached());
    log_info("1f0c77aa", "pop3 login user=%s", "anna");
    matches(datagram(fd), HEAD "1f0c77aa pop3 login user=anna$");
    log_error(NULL, "could not lock drop");
    const char *text = datagram(fd);
    assert_int_equal(strncmp(text, "<19>", 4), 0);
    close(fd);
}

static void by_stream(void **state)
{
    char text[4096];
    int fd = log_daemon(SOCK_STREAM), client;
    (void)state;

    open_log(target);
    client = accept(fd, NULL, NULL);
    assert_true(client >= 0);
    log_info(NULL, "one");
    log_info(NULL, "two");
    ssize_t n = read(client, text, sizeof text - 1);
    assert_true(n > 0);
    assert_int_equal(text[n - 1], '\0');
    matches(text, HEAD "one$");
    matches(text + strlen(text) + 1, HEAD "two$");
    close(client);
    close(fd);
}

/* The socket that was connected to is gone, another one has its name. */
static void restarted(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        int fd = log_daemon(SOCK_DGRAM);

        open_log(target);
        log_info(NULL, "one");
        close(fd);
        fd = log_daemon(SOCK_DGRAM);
        log_info(NULL, "two");
        matches(datagram(fd), HEAD "two$");
        close(fd);
    }
}

static void not_there_at_the_start(void **state)
{
    (void)state;
    open_log(target);
    assert_string_equal(log_unreached(), path);
    log_info(NULL, "one");
    assert_false(log_flush());
    int fd = log_daemon(SOCK_DGRAM);
    open_log(target);           /* another attempt would be a second later */
    assert_null(log_unreached());
    log_info(NULL, "two");
    matches(datagram(fd), HEAD "logging resumed, 1 lines were dropped$");
    matches(datagram(fd), HEAD "two$");
    close(fd);
}

static uint64_t dropped_metric(void)
{
    return metrics_mine->counters[METRIC_LOG_DROPPED];
}

/* What was dropped, as a line tells. */
static unsigned told(const char *text)
{
    const char *at = text != NULL ? strstr(text, "logging resumed, ") : NULL;

    return at != NULL ? (unsigned)atoi(at + strlen("logging resumed, ")) : 0;
}

static void fill(void)
{
    for (int i = 0; i < LINES; i++)
        log_info(NULL, "line %d of the log", i);
}

static void unread_syslog(void **state)
{
    int fd = log_daemon(SOCK_DGRAM), next = 0;
    unsigned dropped = 0;
    uint64_t before = dropped_metric();
    const char *text;
    (void)state;

    open_log(target);
    fill();
    assert_false(log_flush());
    /* All in order, then how many are missing. */
    for (bool more = true; more && dropped == 0;) {
        (void)log_flush();
        for (more = false; (text = datagram(fd)) != NULL && dropped == 0; more = true) {
            char wanted[40];

            snprintf(wanted, sizeof wanted, ": line %d of the log", next);
            dropped = told(text);
            if (dropped == 0 && strstr(text, wanted) == NULL)
                fail_msg("wanted %s, got %s", wanted, text);
            next += dropped == 0;
        }
    }
    assert_true(dropped > 0 && next > 500);     /* 64 KiB of them waited */
    assert_int_equal(next + (int)dropped, LINES);
    assert_int_equal(dropped_metric() - before, dropped);
    assert_true(log_flush());
    log_info(NULL, "as ever");
    matches(datagram(fd), HEAD "as ever$");
    close(fd);
}

/* Reads until there is nothing, counts lines; the last number that a line told. */
static int read_lines(int fd, unsigned *told_r)
{
    static char text[1 << 20];
    size_t len = 0;
    int lines = 0;
    ssize_t n;

    for (bool more = true; more;) {
        (void)log_flush();
        for (more = false; (n = read(fd, text + len, sizeof text - 1 - len)) > 0; more = true)
            len += (size_t)n;
    }
    text[len] = '\0';
    *told_r = told(text);
    for (char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(text[len > 0 ? len - 1 : 0], '\n');
    return lines;
}

static void unread_stderr(int reader, int writer)
{
    unsigned dropped;

    int flags = fcntl(writer, F_GETFL);
    dup2(writer, STDERR_FILENO);
    open_log("stderr");
    assert_true(log_is_stderr());
    fill();
    /* Others have it, too: it is as it was. */
    assert_int_equal(fcntl(writer, F_GETFL), flags);
    fcntl(reader, F_SETFL, O_NONBLOCK);
    int lines = read_lines(reader, &dropped);
    assert_true(dropped > 0);
    assert_int_equal(lines - 1 + (int)dropped, LINES);
    calm(NULL);
    close(reader);
    close(writer);
}

static void unread_pipe(void **state)
{
    int fds[2];
    (void)state;

    assert_int_equal(pipe(fds), 0);
    unread_stderr(fds[0], fds[1]);
}

static void unread_socket(void **state)
{
    int fds[2];
    (void)state;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    unread_stderr(fds[0], fds[1]);
}

static void fifo_without_reader(void **state)
{
    const char *error = NULL;
    (void)state;

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(log_open(path, LOG_LEVEL_INFO, "test", &error));
    assert_string_equal(error, strerror(ENXIO));
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    unsigned dropped;
    open_log(path);
    fill();
    int lines = read_lines(fd, &dropped);
    assert_int_equal(lines - 1 + (int)dropped, LINES);
    close(fd);
}

/* What waits is written by the process whose it is. */
static void forked(void **state)
{
    int fds[2], status;
    (void)state;

    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    open_log("stderr");
    for (int i = 0; i < 600; i++)
        log_info(NULL, "line %d of the log, long enough to fill a pipe of 64 KiB soon: ______________________________", i);
    assert_false(log_flush());
    /* Nothing waits in it, whether it says what it is or not. */
    for (int says = 0; says < 2; says++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (says)
                log_forked();
            _exit(log_flush() ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    unsigned dropped;
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    assert_int_equal(read_lines(fds[0], &dropped), 600);
    assert_int_equal(dropped, 0);
    calm(NULL);
    close(fds[0]);
    close(fds[1]);
}

/* Who has dropped lines has ended: somebody else tells. */
static void told_by_another(void **state)
{
    int fd = log_daemon(SOCK_DGRAM), status;
    (void)state;

    assert_true(log_share());
    open_log(target);
    pid_t pid = fork();
    if (pid == 0) {
        log_forked();
        fill();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    log_info(NULL, "one");
    const char *text;
    unsigned dropped = 0;
    for (int i = 0; i < 100 && dropped == 0; i++) {
        (void)log_flush();
        while ((text = datagram(fd)) != NULL && dropped == 0)
            dropped = told(text);
    }
    assert_true(dropped > 0);
    close(fd);
}

static void full_disk(void **state)
{
    (void)state;
    open_log("/dev/full");
    uint64_t before = dropped_metric();
    fill();
    assert_true(dropped_metric() > before);
    assert_false(log_flush());
}

int main(void)
{
    /* As the master does: from then on dropped lines are counted. */
    if (!metrics_share())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(as_syslog_wants_it, calm),
        cmocka_unit_test_teardown(by_stream, calm),
        cmocka_unit_test_teardown(restarted, calm),
        cmocka_unit_test_teardown(not_there_at_the_start, calm),
        cmocka_unit_test_teardown(unread_syslog, calm),
        cmocka_unit_test_teardown(unread_pipe, calm),
        cmocka_unit_test_teardown(unread_socket, calm),
        cmocka_unit_test_teardown(fifo_without_reader, calm),
        cmocka_unit_test_teardown(forked, calm),
        cmocka_unit_test_teardown(told_by_another, calm),
        cmocka_unit_test_teardown(full_disk, calm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
