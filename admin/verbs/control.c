/*
 * control.c - verbs that the running posternd of this host carries out.
 *
 * What is answered comes from the master, and for `kick` from its workers: it
 * is shown as text, never as what a terminal could obey.
 */
#include "admin/verbs/control.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "admin/out.h"
#include "admin/shown.h"
#include "auth/name.h"
#include "daemon/base/clock.h"
#include "daemon/base/json_quote.h"
#include "daemon/base/num.h"
#include "daemon/base/unix_socket.h"

enum {
    PATIENCE_MS = 10000,
    UPGRADE_MS = 90000,
    ANSWER_MAX = 4 << 20,
    TRACE_MINUTES = 10,
};

/* Until its end. False with errno. */
static bool read_all(int fd, uint64_t until, struct buf *answer)
{
    for (;;) {
        int left = clock_left(until);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        if (left == 0 || poll(&p, 1, left) == 0) {
            errno = ETIMEDOUT;
            return false;
        }
        n = recv(fd, buf_reserve(answer, 4096), 4095, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || answer->len + (size_t)n > ANSWER_MAX)
            return false;
        buf_commit(answer, (size_t)n);
        answer->data[answer->len] = '\0';
        if (n == 0)
            return true;
    }
}

/* What it says behind ERR, each line as one. */
static enum ctl_exit refused(char *lines)
{
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n"))
        ctl_error(CTL_FAILED, "%s", line);
    return CTL_FAILED;
}

enum ctl_exit control_ask(const struct ctl *c, const char *command, struct buf *answer)
{
    const char *path = c->control.control_socket;
    char line[CONTROL_LINE];
    int len = snprintf(line, sizeof line, "%s\n", command);
    bool slow = strcmp(command, "upgrade") == 0;
    int fd;

    *answer = BUF_EMPTY;
    if (len < 0 || (size_t)len >= sizeof line)
        return ctl_error(CTL_USAGE, "the command is too long");
    if (path[0] == '\0')
        return ctl_error(CTL_FAILED, "control_socket is empty: posternd accepts no commands");
    fd = unix_socket_connect(path, SOCK_STREAM);
    if (fd < 0)
        return ctl_error(CTL_FAILED, "could not reach posternd at %s: %s", shown_name(path), strerror(errno));
    if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len ||
        !read_all(fd, clock_ms() + (slow ? UPGRADE_MS : PATIENCE_MS), answer)) {
        enum ctl_exit end =
            ctl_error(CTL_FAILED, "posternd at %s did not answer: %s", shown_name(path), strerror(errno));

        close(fd);
        return end;
    }
    close(fd);
    if (answer->len == 0)
        return ctl_error(CTL_FAILED, "posternd at %s closed the connection: only root and its own user may command it",
                         shown_name(path));
    if (strncmp(answer->data, "ERR ", 4) == 0)
        return refused(answer->data + 4);
    return CTL_DONE;
}

/* What it says behind OK. */
static enum ctl_exit simple(const struct ctl *c, const char *command)
{
    struct buf answer;
    enum ctl_exit end = control_ask(c, command, &answer);

    if (end == CTL_DONE && answer.data != NULL && strncmp(answer.data, "OK ", 3) == 0) {
        for (char *line = strtok(answer.data + 3, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            out_text(stdout, line, 0);
            putchar('\n');
        }
    }
    buf_free(&answer);
    return end;
}

enum ctl_exit run_reload(struct ctl *c)
{
    return simple(c, "reload");
}

enum ctl_exit run_upgrade(struct ctl *c)
{
    return simple(c, "upgrade");
}

/* False after a message. Left as it is where the option was not given. */
static bool minutes(const struct ctl *c, uint64_t *minutes_r)
{
    if (c->opt[OPT_MINUTES] == NULL)
        return true;
    if (num_parse(span_str(c->opt[OPT_MINUTES]), CONTROL_SECONDS_MAX / 60, minutes_r) == 1)
        return true;
    ctl_error(CTL_USAGE, "\"%s\" is not a number of minutes up to %d", c->opt[OPT_MINUTES], CONTROL_SECONDS_MAX / 60);
    return false;
}

enum ctl_exit run_drain(struct ctl *c)
{
    char command[64] = "drain";
    uint64_t n = 0;

    if (!minutes(c, &n))
        return CTL_USAGE;
    if (c->opt[OPT_MINUTES] != NULL)
        snprintf(command, sizeof command, "drain %llu", (unsigned long long)n * 60);
    return simple(c, command);
}

enum ctl_exit run_log_level(struct ctl *c)
{
    char command[64];

    if (snprintf(command, sizeof command, "log-level %s", c->args[0]) >= (int)sizeof command)
        return ctl_error(CTL_USAGE, "\"%s\" is not a log level", c->args[0]);
    return simple(c, command);
}

/* An address as it is stored; anything else as it is. False after a message. */
static bool subject(const char *arg, char out[CTL_ADDRESS_SIZE])
{
    if (strchr(arg, '@') != NULL)
        return ctl_address(arg, false, out);
    if (arg[0] != '\0' && strpbrk(arg, " \t\r\n") == NULL && strlen(arg) < CTL_ADDRESS_SIZE) {
        strcpy(out, arg);
        return true;
    }
    ctl_error(CTL_USAGE, "\"%s\" is neither an address nor a session or a client", arg);
    return false;
}

enum ctl_exit run_trace(struct ctl *c)
{
    char who[CTL_ADDRESS_SIZE], command[CTL_ADDRESS_SIZE + 64];
    uint64_t n = TRACE_MINUTES;

    if (!subject(c->args[0], who) || !minutes(c, &n))
        return CTL_USAGE;
    snprintf(command, sizeof command, "trace %s %llu", who, c->opt[OPT_OFF] != NULL ? 0 : (unsigned long long)n * 60);
    return simple(c, command);
}

enum ctl_exit run_kick(struct ctl *c)
{
    char who[CTL_ADDRESS_SIZE], command[CTL_ADDRESS_SIZE + 64];
    struct buf answer;
    uint64_t asked = 0, answered = 0, kicked = 0;
    enum ctl_exit end;

    if (!subject(c->args[0], who))
        return CTL_USAGE;
    snprintf(command, sizeof command, "kick %s", who);
    end = control_ask(c, command, &answer);
    for (char *line = end == CTL_DONE ? strtok(answer.data, "\n") : NULL; line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "OK ", 3) == 0) {
            (void)num_parse(span_str(line + 3), UINT32_MAX, &asked);
        } else if (strcmp(line, "done") == 0) {
            answered++;
        } else {
            kicked++;
            fputs("kicked session ", stdout);
            out_text(stdout, line, 0);
            putchar('\n');
        }
    }
    buf_free(&answer);
    if (end != CTL_DONE)
        return end;
    if (answered < asked)
        return ctl_error(CTL_PARTLY, "only %llu of %llu workers answered", (unsigned long long)answered,
                         (unsigned long long)asked);
    if (kicked == 0)
        return ctl_error(CTL_FAILED, "%s has no session at the posternd of this host", who);
    return CTL_DONE;
}

/* --------------------------------------------------------------------- status */

double metrics_find(const char *text, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, "postern_", 8) == 0 && strncmp(at + 8, name, len) == 0 && at[8 + len] == ' ')
            return strtod(at + 8 + len, NULL);
    }
    return 0;
}

/* "postern_sessions{protocol="pop3"} 3": the name without its prefix, and the number. False for a comment. */
static bool metric_line(char *line, char **name_r, char **value_r)
{
    char *space = strrchr(line, ' ');

    if (strncmp(line, "postern_", 8) != 0 || space == NULL)
        return false;
    *space = '\0';
    *name_r = line + 8;
    *value_r = space + 1;
    return true;
}

static void show_json(char *text)
{
    const char *sep = "{";
    struct buf key = BUF_EMPTY;

    for (char *line = strtok(text, "\n"), *name, *value; line != NULL; line = strtok(NULL, "\n")) {
        if (!metric_line(line, &name, &value) || strspn(value, "0123456789.") != strlen(value))
            continue;
        buf_clear(&key);
        json_quote(&key, span_str(name));
        printf("%s\n  %.*s: %s", sep, (int)buf_left(&key), buf_span(&key).at, value);
        sep = ",";
    }
    puts("\n}");
    buf_free(&key);
}

/* Histograms by what they mean: how often, and how long on average. */
static void show_text(char *text)
{
    double started = metrics_find(text, "start_time_seconds");

    printf("%-52s %s\n", "ready", metrics_find(text, "ready") > 0 ? "yes" : "NO");
    printf("%-52s %.0f\n", "uptime_seconds", started > 0 ? (double)time(NULL) - started : 0);
    for (char *line = strtok(text, "\n"), *name, *value; line != NULL; line = strtok(NULL, "\n")) {
        if (!metric_line(line, &name, &value) || strstr(name, "_bucket{") != NULL || strcmp(name, "ready") == 0)
            continue;
        out_text(stdout, name, 52);
        putchar(' ');
        out_text(stdout, value, 0);
        putchar('\n');
    }
}

enum ctl_exit run_status(struct ctl *c)
{
    struct buf answer;
    enum ctl_exit end = control_ask(c, "status", &answer);

    if (end == CTL_DONE) {
        if (c->json)
            show_json(answer.data);
        else
            show_text(answer.data);
    }
    buf_free(&answer);
    return end;
}
