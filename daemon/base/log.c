/*
 * log.c - where lines go and what a line looks like. Owns the one log target
 * of the process. Must never allocate (it reports that memory is out) and, in
 * syslog mode, never write to a descriptor of its own: under inetd 0 to 2 are
 * the client.
 */
#include "daemon/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 2048, QUOTED_MAX = 200, BY_SYSLOG = -1 };

static struct {
    int fd;                 /* or BY_SYSLOG */
    bool ours;              /* fd was opened here */
    _Atomic int own_level;
    _Atomic int *level;     /* own_level, or shared; a process that was taken over may write anything there */
    char ident[64];         /* openlog() keeps the pointer */
    time_t second;          /* what `stamp` says; gmtime_r() once a second is enough */
    char stamp[32];
} target = { .fd = STDERR_FILENO, .own_level = LOG_LEVEL_INFO, .level = &target.own_level, .ident = "postern", .second = -1 };

static void copy_ident(const char *ident)
{
    size_t len = strnlen(ident, sizeof target.ident - 1);
    memmove(target.ident, ident, len);
    target.ident[len] = '\0';
}

static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    /* A number of 0 to 2 is somebody's standard input or output sooner or later. */
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int why = errno;
    close(fd);
    errno = why;
    return higher;
}

bool log_open(const char *where, enum log_level level, const char *ident, const char **error_r)
{
    int fd = STDERR_FILENO;
    bool ours = false;

    if (strcmp(where, "syslog") == 0) {
        fd = BY_SYSLOG;
    } else if (strcmp(where, "stderr") != 0) {
        if (where[0] != '/') {
            *error_r = "must be syslog, stderr or an absolute path";
            return false;
        }
        fd = open_file(where);
        if (fd < 0) {
            *error_r = strerror(errno);
            return false;
        }
        ours = true;
    }
    if (target.ours)
        close(target.fd);
    if (target.fd == BY_SYSLOG)
        closelog();
    target.fd = fd;
    target.ours = ours;
    log_set_level(level);
    copy_ident(ident);
    if (fd == BY_SYSLOG)    /* at once: after chroot() the socket is out of reach */
        openlog(target.ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
    return true;
}

void log_set_ident(const char *ident)
{
    copy_ident(ident);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(target.level, (int)level, memory_order_relaxed);
}

bool log_share_level(void)
{
    _Atomic int *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return false;
    atomic_store(shared, atomic_load(target.level));
    target.level = shared;
    return true;
}

enum log_level log_level_now(void)
{
    return (enum log_level)atomic_load_explicit(target.level, memory_order_relaxed);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(target.level, memory_order_relaxed);
}

int log_descriptor(void)
{
    return target.fd;
}

/* "2026-11-22T21:30:00.123Z posternd[42]: " */
static size_t line_head(char *out, size_t size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != target.second) {
        struct tm tm;
        gmtime_r(&now.tv_sec, &tm);
        strftime(target.stamp, sizeof target.stamp, "%Y-%m-%dT%H:%M:%S", &tm);
        target.second = now.tv_sec;
    }
    int n = snprintf(out, size, "%s.%03dZ %s[%ld]: ", target.stamp, (int)(now.tv_nsec / 1000000), target.ident, (long)getpid());
    return n > 0 ? (size_t)n : 0;
}

static void line(enum log_level level, const char *session, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void line(enum log_level level, const char *session, const char *fmt, va_list args)
{
    static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
    char out[LINE_MAX_OCTETS];
    const size_t end = sizeof out - 1;      /* the last octet is for the line feed */
    size_t len = 0;
    int kept_errno = errno;

    if (!log_wants(level))
        return;
    if (target.fd != BY_SYSLOG)
        len = line_head(out, end);
    size_t text = len;
    if (session != NULL) {
        int n = snprintf(out + len, end - len, "%s ", session);
        len += n > 0 && (size_t)n < end - len ? (size_t)n : 0;
    }
    errno = kept_errno;                     /* for %m */
    int n = vsnprintf(out + len, end - len, fmt, args);
    if (n > 0 && (size_t)n >= end - len) {
        len = end - 1;
        memcpy(out + len - 3, "...", 3);
    } else {
        len += n > 0 ? (size_t)n : 0;
    }
    /* One event, one line: libpq's messages, for one, have several. */
    while (len > text && out[len - 1] == '\n')
        len--;
    for (size_t i = text; i < len; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
            out[i] = ' ';
    if (target.fd == BY_SYSLOG) {
        out[len] = '\0';
        syslog(priority[level], "%s", out);
    } else {
        out[len++] = '\n';
        /* One write, so that the lines of several processes do not mix. Nobody is left to tell of a failure. */
        ssize_t ignored = write(target.fd, out, len);
        (void)ignored;
    }
    errno = kept_errno;
}

#define LOG_FUNCTION(name, level) \
    void name(const char *session, const char *fmt, ...) \
    { \
        va_list args; \
        va_start(args, fmt); \
        line(level, session, fmt, args); \
        va_end(args); \
    }

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

struct log_quoted log_text(struct span text)
{
    static const char hex[] = "0123456789abcdef";
    struct log_quoted q;
    size_t at = 0, i;

    q.s[at++] = '"';
    for (i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
        if (at - 1 + (plain ? 1 : 4) > QUOTED_MAX)
            break;
        if (plain) {
            q.s[at++] = (char)c;
        } else {
            q.s[at++] = '\\';
            q.s[at++] = 'x';
            q.s[at++] = hex[c >> 4];
            q.s[at++] = hex[c & 15];
        }
    }
    q.s[at++] = '"';
    if (i < text.len) {                     /* outside the quotes: dots of ours, not of the text */
        memcpy(q.s + at, "...", 3);
        at += 3;
    }
    q.s[at] = '\0';
    return q;
}
