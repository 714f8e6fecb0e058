/*
 * log_sink.c - the one place that log lines are written to.
 *
 * It must never wait: whoever reads the log may be stopped, and this process
 * serves thousands. Nor may it change a file description that others share:
 * O_NONBLOCK on standard error would be set for the operator's shell, too.
 * Therefore a pipe or a terminal is opened once more, by /proc, with a
 * description of our own; to sockets every send() says that it does not wait.
 * A regular file is written to as it is: the kernel has no other way, and it is
 * the page cache that takes it.
 */
#include "daemon/base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/unix_socket.h"

enum {
    WAITING_MAX = 65536,
    AGAIN_MS = 1000,            /* between attempts to reach a log daemon that is not there */
};

enum kind {
    KIND_DESCRIPTOR,            /* write() does not wait: a file, or opened by us with O_NONBLOCK */
    KIND_SHARED,                /* a pipe or terminal of somebody else's: asked before each write */
    KIND_SOCKET,                /* standard error of a service under systemd */
    KIND_SYSLOG,
};

static struct {
    enum kind kind;
    int fd;                     /* -1: no log daemon was reached */
    bool ours;                  /* fd was opened here */
    bool by_stderr;
    bool stream;                /* of syslog: an octet 0 ends a line */
    uint64_t again_at;          /* not before: connect() */
    char path[UNIX_SOCKET_PATH_MAX + 1];    /* of syslog */
} sink = { .kind = KIND_DESCRIPTOR, .fd = STDERR_FILENO, .by_stderr = true };

/* Lines, each behind its length. */
static struct {
    char data[WAITING_MAX];
    size_t at, end;
    size_t done;                /* octets of the first one that are written already */
    unsigned lines;
    bool watched;               /* a forked process forgets what waits for its parent */
} waiting;

/* ------------------------------------------------------------------ opening */

/* A number of 0 to 2 is somebody's standard input or output sooner or later. */
static int above_stderr(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int why = errno;
    close(fd);
    errno = why;
    return higher;
}

/* O_NONBLOCK is for a FIFO: to open one that nobody reads would wait, too. */
static int open_file(const char *path)
{
    return above_stderr(open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
}

static void close_sink(void)
{
    if (sink.ours && sink.fd >= 0)
        close(sink.fd);
    sink.fd = -1;
    sink.ours = false;
}

static bool connect_syslog(void)
{
    uint64_t now = clock_ms();

    if (sink.fd >= 0)
        return true;
    if (now < sink.again_at) {
        errno = ENOTCONN;
        return false;
    }
    sink.stream = false;
    sink.fd = above_stderr(unix_socket_connect(sink.path, SOCK_DGRAM | SOCK_NONBLOCK));
    if (sink.fd < 0 && errno == EPROTOTYPE) {
        sink.stream = true;
        sink.fd = above_stderr(unix_socket_connect(sink.path, SOCK_STREAM | SOCK_NONBLOCK));
    }
    sink.ours = sink.fd >= 0;
    sink.again_at = sink.fd >= 0 ? 0 : now + AGAIN_MS;
    return sink.fd >= 0;
}

static void open_stderr(void)
{
    struct stat st;
    bool known = fstat(STDERR_FILENO, &st) == 0;

    sink.kind = KIND_DESCRIPTOR;
    sink.fd = STDERR_FILENO;
    sink.by_stderr = true;
    if (known && S_ISSOCK(st.st_mode)) {
        sink.kind = KIND_SOCKET;
    } else if (known && (S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO))) {
        int own = above_stderr(open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));

        /* Without /proc, or where the pipe is another user's. */
        sink.kind = own >= 0 ? KIND_DESCRIPTOR : KIND_SHARED;
        sink.fd = own >= 0 ? own : STDERR_FILENO;
        sink.ours = own >= 0;
    }
}

/* The path of a socket for syslog; NULL where it is something else. */
static const char *syslog_path(const char *where)
{
    static const char prefix[] = "syslog:";

    if (strcmp(where, "syslog") == 0)
        return _PATH_LOG;
    return strncmp(where, prefix, sizeof prefix - 1) == 0 ? where + sizeof prefix - 1 : NULL;
}

static void forget_waiting(void)
{
    waiting.at = waiting.end = waiting.done = 0;
    waiting.lines = 0;
}

size_t log_sink_give_up(void)
{
    size_t lines = waiting.lines;

    forget_waiting();
    return lines;
}

bool log_sink_open(const char *where, size_t *lost_r, const char **error_r)
{
    const char *path = syslog_path(where);
    bool by_stderr = strcmp(where, "stderr") == 0;
    int fd = -1;

    if ((path != NULL && (path[0] != '/' || strlen(path) > UNIX_SOCKET_PATH_MAX)) ||
        (path == NULL && !by_stderr && where[0] != '/')) {
        *error_r = "must be syslog, syslog:PATH, stderr or an absolute path";
        return false;
    }
    if (path == NULL && !by_stderr && (fd = open_file(where)) < 0) {
        *error_r = strerror(errno);
        return false;
    }
    /* Another place may have lines of another form. */
    log_sink_flush();
    *lost_r = log_sink_give_up();
    close_sink();
    sink.by_stderr = false;
    if (path != NULL) {
        sink.kind = KIND_SYSLOG;
        strcpy(sink.path, path);
        sink.again_at = 0;
        (void)connect_syslog();         /* at once, while the way there is open to us */
    } else if (by_stderr) {
        open_stderr();
    } else {
        sink.kind = KIND_DESCRIPTOR;
        sink.fd = fd;
        sink.ours = true;
    }
    return true;
}

void log_sink_stderr_moved(void)
{
    if (!sink.by_stderr)
        return;
    close_sink();
    open_stderr();
}

void log_sink_forked(void)
{
    forget_waiting();
    if (sink.kind != KIND_SYSLOG)
        return;
    sink.fd = -1;
    sink.again_at = 0;
    (void)connect_syslog();
}

bool log_sink_is_syslog(void)
{
    return sink.kind == KIND_SYSLOG;
}

bool log_sink_is_stderr(void)
{
    return sink.by_stderr;
}

bool log_sink_reached(void)
{
    return sink.fd >= 0;
}

const char *log_sink_name(void)
{
    return sink.kind == KIND_SYSLOG ? sink.path : sink.by_stderr ? "stderr" : "its file";
}

int log_sink_descriptor(void)
{
    return sink.kind == KIND_SYSLOG || sink.fd <= STDERR_FILENO ? -1 : sink.fd;
}

/* ------------------------------------------------------------------ writing */

static ssize_t send_syslog(const char *line, size_t len)
{
    /* A daemon that was restarted has another socket under the same name. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!connect_syslog())
            return -1;
        ssize_t n = send(sink.fd, line, sink.stream ? len : len - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0)
            return sink.stream ? n : (ssize_t)len;
        if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
            return -1;
        if (errno == EMSGSIZE)
            return (ssize_t)len;        /* it will never be smaller */
        close_sink();
    }
    return -1;
}

static ssize_t write_now(const char *line, size_t len)
{
    struct pollfd p = { .fd = sink.fd, .events = POLLOUT };

    switch (sink.kind) {
    case KIND_SYSLOG:
        return send_syslog(line, len);
    case KIND_SOCKET:
        return send(sink.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case KIND_SHARED:
        if (poll(&p, 1, 0) != 1)
            return -1;
        break;
    case KIND_DESCRIPTOR:
        break;
    }
    return write(sink.fd, line, len);
}

/* True if all of it is written; *done: how much of it is. */
static bool write_on(const char *line, size_t len, size_t *done)
{
    while (*done < len) {
        ssize_t n = write_now(line + *done, len - *done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        *done += (size_t)n;
    }
    return true;
}

bool log_sink_flush(void)
{
    while (waiting.lines > 0) {
        uint16_t len;

        memcpy(&len, waiting.data + waiting.at, sizeof len);
        if (!write_on(waiting.data + waiting.at + sizeof len, len, &waiting.done))
            return false;
        waiting.at += sizeof len + len;
        waiting.done = 0;
        waiting.lines--;
    }
    waiting.at = waiting.end = 0;
    return true;
}

/* The kernel is not asked at each line who we are. */
static bool watch_forks(void)
{
    if (!waiting.watched)
        waiting.watched = pthread_atfork(NULL, NULL, forget_waiting) == 0;
    return waiting.watched;
}

/* `done` octets of it are written already; only that of the first line can be above 0. */
static bool keep(const char *line, size_t len, size_t done)
{
    uint16_t size = (uint16_t)len;

    if (!watch_forks())
        return false;
    if (waiting.end + sizeof size + len > WAITING_MAX) {
        memmove(waiting.data, waiting.data + waiting.at, waiting.end - waiting.at);
        waiting.end -= waiting.at;
        waiting.at = 0;
    }
    if (waiting.end + sizeof size + len > WAITING_MAX)
        return false;
    if (waiting.lines == 0)
        waiting.done = done;
    memcpy(waiting.data + waiting.end, &size, sizeof size);
    memcpy(waiting.data + waiting.end + sizeof size, line, len);
    waiting.end += sizeof size + len;
    waiting.lines++;
    return true;
}

bool log_sink_put(const char *line, size_t len, bool now)
{
    size_t done = 0;

    if (len == 0 || len > LOG_LINE_OCTETS)
        return len == 0;
    if (log_sink_flush() && write_on(line, len, &done))
        return true;
    return (!now || done > 0) && keep(line, len, done);
}

size_t log_sink_waiting(void)
{
    return waiting.lines;
}

void log_sink_wait(int ms)
{
    uint64_t end = clock_ms() + (uint64_t)ms;

    while (!log_sink_flush() && sink.fd >= 0) {
        struct pollfd p = { .fd = sink.fd, .events = POLLOUT };
        int left = clock_left(end);

        if (left == 0 || poll(&p, 1, left) != 1 || (p.revents & POLLOUT) == 0)
            return;
    }
}
