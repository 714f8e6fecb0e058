/*
 * top.c - `top`: a live view of the posternd of this host, in plain ANSI.
 *
 * Owns the terminal's mode while it runs and always gives it back. Asks for
 * the metrics once a second and shows what changed in between.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "admin/verbs/control.h"
#include "admin/shown.h"
#include "daemon/base/clock.h"

enum { EVERY_MS = 1000, LINE = 256 };

struct view {
    struct termios before;
    unsigned rows, cols, row;
    struct buf now, last;           /* answers */
    double seconds;                 /* between them; 0: there is no last one */
};

static volatile sig_atomic_t ended, resized;

static void on_signal(int signo)
{
    if (signo == SIGWINCH)
        resized = 1;
    else
        ended = 1;
}

static void measure(struct view *v)
{
    struct winsize size;

    v->rows = 24;
    v->cols = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        v->rows = size.ws_row;
        v->cols = size.ws_col;
    }
}

/* One line, cut where the screen ends. */
__attribute__((format(printf, 2, 3)))
static void line(struct view *v, const char *fmt, ...)
{
    char text[LINE];
    va_list ap;

    if (v->row >= v->rows)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    shown_text(text);
    printf("\033[%u;1H%.*s\033[K", ++v->row, (int)v->cols, text);
}

static double value(const struct view *v, const char *name)
{
    return metrics_find(v->now.data, name);
}

/* A second. */
static double rate(const struct view *v, const char *name)
{
    double change;

    if (v->seconds <= 0)
        return 0;
    change = value(v, name) - metrics_find(v->last.data, name);
    return change > 0 ? change / v->seconds : 0;
}

/* Milliseconds on average since the last look, and how many a second. */
static void latency(struct view *v, const char *title, const char *name)
{
    char count[64], sum[64];
    double n, s;

    snprintf(count, sizeof count, "%s_count", name);
    snprintf(sum, sizeof sum, "%s_sum", name);
    n = rate(v, count);
    s = rate(v, sum);
    line(v, "  %-22s %10.1f /s  %10.3f ms", title, n, n > 0 ? s / n * 1000 : 0);
}

/* Which statement ran longest in the last minutes, and how long. */
static void longest(struct view *v)
{
    static const char *const statements[] = {
#define COUNTER(id, family, labels, help)
#define GAUGE(id, family, labels, help)
#define HISTOGRAM(id, family, help)
#define LONGEST(id, labels, help) labels,
#include "daemon/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
    };
    const char *which = "";
    double most = 0;

    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "database_statement_longest_seconds{%s}", statements[i]);
        double seconds = value(v, name);
        if (seconds > most) {
            most = seconds;
            which = statements[i];
        }
    }
    line(v, "  %-22s %10s    %10.3f ms  %s", "longest statement", "", most * 1000, which);
}

static void show(struct view *v)
{
    double up = (double)time(NULL) - value(v, "start_time_seconds");
    double busy = rate(v, "auth_hash_seconds_sum");

    v->row = 0;
    line(v, "postern  %s  up %.0f s  workers %.0f  cells lost %.0f", value(v, "ready") > 0 ? "ready" : "NOT READY", up,
         value(v, "workers"), value(v, "cell_deaths_total"));
    line(v, "%s", "");
    line(v, "sessions   pop3 %.0f  lmtp %.0f  maildrops open %.0f  relayed %.0f",
         value(v, "sessions{protocol=\"pop3\"}"), value(v, "sessions{protocol=\"lmtp\"}"),
         value(v, "maildrops_locked"), value(v, "pop3_relayed_sessions"));
    line(v, "rates /s   connections %.1f  logins %.1f  refused %.1f  in use %.1f  lost %.1f",
         rate(v, "pop3_connections_total"), rate(v, "pop3_logins_total{result=\"ok\"}"),
         rate(v, "pop3_logins_total{result=\"credentials\"}"), rate(v, "pop3_logins_total{result=\"in_use\"}"),
         rate(v, "pop3_sessions_lost_total"));
    line(v, "           retrieved %.1f  deleted %.1f  delivered %.1f  deferred %.1f",
         rate(v, "pop3_retrieved_messages_total"), rate(v, "pop3_deleted_messages_total"),
         rate(v, "lmtp_deliveries_total{result=\"stored\"}"), rate(v, "lmtp_deliveries_total{result=\"deferred\"}"));
    line(v, "octets /s  in %.0f  out %.0f", rate(v, "pop3_received_octets_total"), rate(v, "pop3_sent_octets_total"));
    line(v, "%s", "");
    line(v, "latency");
    latency(v, "statement", "database_statement_seconds");
    latency(v, "verdict of a helper", "auth_wait_seconds");
    latency(v, "password hash", "auth_hash_seconds");
    latency(v, "opening a maildrop", "pop3_open_seconds");
    longest(v);
    line(v, "%s", "");
    line(v, "lanes      up %.0f of %.0f  busy %.0f  lost %.0f", value(v, "database_lanes_up"),
         value(v, "database_lanes"), value(v, "database_lanes_busy"), value(v, "database_connections_lost_total"));
    line(v, "helpers    %.0f  hashing %.1f of them  waiting %.0f", value(v, "auth_helpers"), busy,
         value(v, "auth_queue"));
    line(v, "database   errors %.0f  commits that failed %.0f", value(v, "database_errors_total"),
         value(v, "pop3_quit_failures_total"));
    line(v, "%s", "");
    line(v, "q quits");
    printf("\033[J");
    fflush(stdout);
}

/* Waits for the next look; false for q. */
static bool wait_for(uint64_t until)
{
    for (;;) {
        int left = clock_left(until);
        struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
        char key;

        if (ended)
            return false;
        if (left == 0 || resized)
            return true;
        if (poll(&p, 1, left) <= 0)
            continue;
        if (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == 3)
            return false;
    }
}

static enum ctl_exit look(struct ctl *c, struct view *v)
{
    uint64_t asked = 0;
    enum ctl_exit end;

    do {
        uint64_t before = asked;

        if (resized)
            measure(v);
        resized = 0;
        buf_free(&v->last);
        v->last = v->now;
        end = control_ask(c, "status", &v->now);
        if (end != CTL_DONE)
            return end;
        asked = clock_ms();
        v->seconds = before > 0 ? (double)(asked - before) / 1000 : 0;
        show(v);
    } while (wait_for(asked + EVERY_MS));
    return CTL_DONE;
}

enum ctl_exit run_top(struct ctl *c)
{
    struct view v = { .now = BUF_EMPTY, .last = BUF_EMPTY };
    struct sigaction act = { .sa_handler = on_signal };
    struct termios raw;
    enum ctl_exit end;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &v.before) < 0)
        return ctl_error(CTL_USAGE, "top needs a terminal; use posternctl status instead");
    sigaction(SIGWINCH, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    raw = v.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    printf("\033[?25l\033[2J");     /* no cursor, an empty screen */
    measure(&v);
    end = look(c, &v);
    printf("\033[?25h\n");
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &v.before);
    buf_free(&v.now);
    buf_free(&v.last);
    return end;
}
