/*
 * log.c - what a line looks like, which ones are wanted, and what became of
 * those that could not be written. Must never allocate (it reports that memory
 * is out), nor wait for whoever reads the log: lines that find no room are
 * dropped and counted, and the first one that does says how many they were.
 */
#include "daemon/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log_sink.h"

enum { QUOTED_MAX = 200, END_MS = 500 };

/* Of one process, or of all; one that was taken over may write anything there. */
struct shared {
    _Atomic int level;
    _Atomic uint64_t dropped;   /* lines, which no line has told of yet */
};

static struct shared own = { .level = LOG_LEVEL_INFO };
static struct {
    struct shared *shared;
    char ident[64];
    time_t second;          /* what `stamp` says; to break it down once a second is enough */
    bool local;             /* `stamp` is as syslog wants it */
    char stamp[32];
    long pid;               /* ours, which costs no call of the kernel for each line; 0: not known yet */
    bool dropping;          /* since a line of ours was dropped: the next one that is taken tells of it */
    void (*waits)(void *arg);
    void *waits_arg;
    void (*count)(size_t lines);
} target = { .shared = &own, .ident = "postern", .second = -1 };

static void copy_ident(const char *ident)
{
    size_t len = strnlen(ident, sizeof target.ident - 1);
    memmove(target.ident, ident, len);
    target.ident[len] = '\0';
}

static void count_dropped(size_t lines)
{
    target.dropping = true;
    atomic_fetch_add_explicit(&target.shared->dropped, lines, memory_order_relaxed);
    if (target.count != NULL)
        target.count(lines);
}

void log_when_dropped(void (*count)(size_t lines))
{
    target.count = count;
}

bool log_open(const char *where, enum log_level level, const char *ident, const char **error_r)
{
    size_t lost;

    if (!log_sink_open(where, &lost, error_r))
        return false;
    target.second = -1;
    log_set_level(level);
    copy_ident(ident);
    if (lost > 0)
        count_dropped(lost);
    return true;
}

void log_stderr_moved(void)
{
    log_sink_stderr_moved();
}

void log_forked(void)
{
    target.waits = NULL;
    target.dropping = false;
    log_sink_forked();
}

void log_set_ident(const char *ident)
{
    copy_ident(ident);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&target.shared->level, (int)level, memory_order_relaxed);
}

bool log_share(void)
{
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return false;
    atomic_store(&shared->level, atomic_load(&target.shared->level));
    atomic_store(&shared->dropped, atomic_load(&target.shared->dropped));
    target.shared = shared;
    return true;
}

enum log_level log_level_now(void)
{
    return (enum log_level)atomic_load_explicit(&target.shared->level, memory_order_relaxed);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&target.shared->level, memory_order_relaxed);
}

int log_descriptor(void)
{
    return log_sink_descriptor();
}

bool log_is_stderr(void)
{
    return log_sink_is_stderr();
}

const char *log_unreached(void)
{
    return log_sink_reached() ? NULL : log_sink_name();
}

void log_when_waiting(void (*waits)(void *arg), void *arg)
{
    target.waits = waits;
    target.waits_arg = arg;
}

static void forget_pid(void)
{
    target.pid = 0;
}

static long own_pid(void)
{
    static bool watched;

    if (!watched)
        watched = pthread_atfork(NULL, NULL, forget_pid) == 0;
    if (target.pid == 0 || !watched)
        target.pid = (long)getpid();
    return target.pid;
}

/* "2026-11-22T21:30:00.123Z posternd[42]: "; in syslog's local form "<22>Nov 22 22:30:00 posternd[42]: " */
static size_t line_head(enum log_level level, char *out, size_t size)
{
    static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    bool local = log_sink_is_syslog();
    struct timespec now;
    int n;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != target.second || local != target.local) {
        struct tm tm;

        if (local) {
            localtime_r(&now.tv_sec, &tm);
            snprintf(target.stamp, sizeof target.stamp, "%s %2d %02d:%02d:%02d", months[tm.tm_mon % 12], tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec);
        } else {
            gmtime_r(&now.tv_sec, &tm);
            strftime(target.stamp, sizeof target.stamp, "%Y-%m-%dT%H:%M:%S", &tm);
        }
        target.second = now.tv_sec;
        target.local = local;
    }
    if (local)
        n = snprintf(out, size, "<%d>%s %s[%ld]: ", LOG_MAIL | priority[level], target.stamp, target.ident,
                     own_pid());
    else
        n = snprintf(out, size, "%s.%03dZ %s[%ld]: ", target.stamp, (int)(now.tv_nsec / 1000000), target.ident,
                     own_pid());
    return n > 0 ? (size_t)n : 0;
}

/* There is room for the octet that ends it. */
static bool put(char *out, size_t len, bool now)
{
    out[len] = log_sink_is_syslog() ? '\0' : '\n';
    return log_sink_put(out, len + 1, now);
}

/*
 * What all processes have dropped is told by the first one whose lines are
 * taken: who dropped them may have ended. False: this one has dropped some, and
 * nothing is taken yet; its next line is to stand behind that which tells.
 */
static bool tell_dropped(void)
{
    char out[LOG_LINE_OCTETS];
    uint64_t dropped = 0;
    size_t len;
    int n;

    if (atomic_load_explicit(&target.shared->dropped, memory_order_relaxed) == 0)
        return true;
    if (!log_sink_flush())
        return !target.dropping;
    dropped = atomic_exchange(&target.shared->dropped, 0);
    if (dropped == 0)       /* another process was faster */
        return true;
    len = line_head(LOG_LEVEL_WARNING, out, sizeof out);
    n = snprintf(out + len, sizeof out - len, "logging resumed, %llu lines were dropped",
                 (unsigned long long)dropped);
    if (!put(out, len + (n > 0 ? (size_t)n : 0), true)) {
        atomic_fetch_add(&target.shared->dropped, dropped);
        return !target.dropping;
    }
    target.dropping = false;
    return true;
}

bool log_flush(void)
{
    return log_sink_flush() && tell_dropped() && log_sink_flush();
}

size_t log_waiting(void)
{
    return log_sink_waiting();
}

void log_finish(void)
{
    if (log_flush())
        return;
    log_sink_wait(END_MS);
    if (log_flush())
        return;
    size_t lines = log_sink_give_up();
    if (lines > 0)
        count_dropped(lines);
}

static void line(enum log_level level, const char *session, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void line(enum log_level level, const char *session, const char *fmt, va_list args)
{
    char out[LOG_LINE_OCTETS];
    const size_t end = sizeof out - 1;      /* the last octet is for the line feed */
    size_t len = 0;
    int kept_errno = errno;

    if (!log_wants(level))
        return;
    len = line_head(level, out, end);
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
    if (!tell_dropped() || !put(out, len, false))
        count_dropped(1);
    if (target.waits != NULL && !log_sink_flush())
        target.waits(target.waits_arg);
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
